using System.Text;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens.Components;

/// <summary>The published split patterns have scanners of their own: they cut random texts of all kinds of characters as the patterns do.</summary>
public sealed class WordScannerTests
{
    const int Texts = 4000;

    static readonly string[] Alphabet =
    [
        // Letters, with those of other planes, title case, modifiers and the two that fold to ASCII.
        "a", "b", "T", "S", "é", "中", "ǅ", "ʰ", "\u017F", "\u212A", "𝐀", "𠀀",
        // Numbers of all three kinds.
        "1", "23", "Ⅻ", "½", "٣", "𝟎", "𐄇",
        // White space, with ends of lines and those beyond ASCII.
        " ", "  ", "\t", "\n", "\r", "\r\n", "\v", "\f", "\u0085", "\u00A0", "\u2028", "\u3000",
        // Neither: punctuation, symbols, marks, joiners, controls, unassigned and private characters.
        "'", "'s", "'S", "'\u017F", "'ll", "'RE", "'vE", "'d", "’", ".", ",", "_", "-", "\u0301", "\u200D", "\uFEFF", "\u0000", "\u180E", "€", "🙂", "🇩", "\uE000", "\uFFFF", "\U000F0000", "\uD800",
    ];

    [Theory]
    [InlineData(@"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")]
    [InlineData(@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")]
    [InlineData(@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")]
    public void A_scanner_cuts_as_the_pattern_it_stands_for(string pattern)
    {
        // A group around the whole changes no match, but is no pattern that a scanner is known for.
        Tokenizer scanner = Of(pattern), regex = Of($"(?:{pattern})");
        Random random = new(1);
        for (int i = 0; i < Texts; i++)
        {
            StringBuilder text = new();
            for (int n = random.Next(1, 30); n > 0; n--)
            {
                text.Append(Alphabet[random.Next(Alphabet.Length)]);
            }

            (int, int)[] expected = regex.Encode(text.ToString()).Offsets;
            Assert.True(expected.SequenceEqual(scanner.Encode(text.ToString()).Offsets), string.Join(' ', text.ToString().Select(c => $"{(int)c:X4}")));
        }
    }

    static Tokenizer Of(string pattern)
        => WordTokenizer.Of($$"""{"type": "Split", "pattern": {"Regex": {{System.Text.Json.JsonSerializer.Serialize(pattern)}}}, "behavior": "Isolated", "invert": false}""", []);
}

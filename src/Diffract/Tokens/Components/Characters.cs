using System.Globalization;

namespace Diffract.Tokens.Components;

/// <summary>Classes of code points as the reference library's patterns mean them.</summary>
static class Characters
{
    public const byte Letter = 1;
    public const byte Number = 2;
    public const byte Space = 4;
    public const byte Other = 0;

    static readonly byte[] Kinds = MakeKinds();
    static readonly Lazy<HashSet<int>> Punctuation = new(() => [.. UnicodeData.Words().Where(w => w.Kind == "punct").SelectMany(w => UnicodeData.Range(w.Word))]);

    /// <summary><c>\p{L}</c>, <c>\p{N}</c>, <c>\s</c> or none of them.</summary>
    public static byte Kind(int c) => c < 0x10000 ? Kinds[c] : KindOf(c);

    /// <summary>White_Space of the Unicode Character Database.</summary>
    public static bool IsSpace(int c) => c < 0x10000 && char.IsWhiteSpace((char)c);

    /// <summary>Letters, marks, decimal and letter numbers, connectors, joiners and the circled letters: <c>\w</c> of the library that finds added tokens.</summary>
    public static bool IsWord(int c) => CharUnicodeInfo.GetUnicodeCategory(c) switch
    {
        <= UnicodeCategory.LetterNumber or UnicodeCategory.ConnectorPunctuation => true,
        UnicodeCategory.OtherSymbol => c is >= 0x24B6 and <= 0x24E9 or >= 0x1F130 and <= 0x1F149 or >= 0x1F150 and <= 0x1F169 or >= 0x1F170 and <= 0x1F189,
        _ => c is 0x200C or 0x200D,
    };

    /// <summary>ASCII punctuation and symbols, and the categories Pc, Pd, Ps, Pe, Pi, Pf and Po as Unicode 8.0 had them.</summary>
    public static bool IsPunctuation(int c) => c < 0x80
        ? c is >= '!' and <= '/' or >= ':' and <= '@' or >= '[' and <= '`' or >= '{' and <= '~'
        : Punctuation.Value.Contains(c);

    static byte[] MakeKinds()
    {
        byte[] kinds = new byte[0x10000];
        for (int c = 0; c < kinds.Length; c++)
        {
            kinds[c] = KindOf(c);
        }

        return kinds;
    }

    static byte KindOf(int c) => CharUnicodeInfo.GetUnicodeCategory(c) switch
    {
        <= UnicodeCategory.OtherLetter => Letter,
        UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Number,
        _ => IsSpace(c) ? Space : Other,
    };
}

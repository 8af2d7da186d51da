namespace Diffract.Tokens.Components;

/// <summary>What happens to a text's tokens at the end: ids before and after them, and white space taken off their offsets.</summary>
/// <param name="Before">Ids of the special tokens before a text.</param>
/// <param name="After">Ids of the special tokens after a text.</param>
/// <param name="Trims">A step each that takes white space off the offsets; its value: whether a space was put before the text, which is left alone.</param>
/// <param name="Names">What the tokens before and after a text are called, should the vocabulary not know their ids.</param>
sealed record PostProcessor(int[] Before, int[] After, bool[] Trims, Dictionary<int, string> Names)
{
    /// <summary>Byte-level tokens' offsets without the white space that the tokens begin and end with.</summary>
    /// <param name="tokens">The text's tokens.</param>
    /// <param name="spaces">How many characters of white space a token (by index) begins and ends with.</param>
    public void Trim(TokenList tokens, Func<int, (int Leading, int Trailing)> spaces)
    {
        foreach (bool prefixed in Trims)
        {
            for (int i = 0; i < tokens.Count; i++)
            {
                (int leading, int trailing) = spaces(i);
                ref (int Start, int End) offset = ref tokens.Offsets[i];
                bool added = (i == 0 || offset.Start == 0) && prefixed && leading == 1;
                if (leading > 0 && !added)
                {
                    offset.Start = Math.Min(offset.Start + leading, offset.End);
                }

                if (trailing > 0 && offset.End >= trailing)
                {
                    offset.End = Math.Max(offset.End - trailing, offset.Start);
                }
            }
        }
    }

    /// <summary>White space, or the byte-level space, at both ends of a text.</summary>
    public static (int Leading, int Trailing) Spaces(ReadOnlySpan<char> text)
    {
        int leading = 0, trailing = 0;
        while (leading < text.Length && IsSpace(text[leading]))
        {
            leading++;
        }

        while (trailing < text.Length && IsSpace(text[^(trailing + 1)]))
        {
            trailing++;
        }

        return (leading, trailing);
    }

    static bool IsSpace(char c) => c == ByteAlphabet.Character((byte)' ') || char.IsWhiteSpace(c);
}

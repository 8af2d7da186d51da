namespace Diffract.Tokens.Components;

/// <summary>The 256 printable characters that stand for bytes in byte-level vocabularies (GPT-2's table): printable Latin-1 for itself, the rest from U+0100 on.</summary>
static class ByteAlphabet
{
    static readonly int[] Characters = MakeCharacters();
    static readonly Dictionary<char, byte> Bytes = Characters.Select((c, b) => (c, b)).ToDictionary(p => (char)p.c, p => (byte)p.b);

    public static int Character(byte value) => Characters[value];

    public static bool TryByte(char character, out byte value) => Bytes.TryGetValue(character, out value);

    /// <summary>Writes the characters of a code point's UTF-8 bytes; returns how many, at most 4.</summary>
    public static int Write(int codePoint, Span<int> to)
    {
        if (codePoint < 0x80)
        {
            to[0] = Characters[codePoint];
            return 1;
        }

        Span<byte> utf8 = stackalloc byte[4];
        int length = new System.Text.Rune(codePoint).EncodeToUtf8(utf8);
        for (int i = 0; i < length; i++)
        {
            to[i] = Characters[utf8[i]];
        }

        return length;
    }

    static int[] MakeCharacters()
    {
        int[] characters = new int[256];
        int next = 0x100;
        for (int b = 0; b < 256; b++)
        {
            characters[b] = b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE ? b : next++;
        }

        return characters;
    }
}

using System.Globalization;

namespace Diffract.Tokens.Components;

/// <summary>The tables of unicode.txt: what the runtime has in a newer version, or not at all.</summary>
static class UnicodeData
{
    /// <summary>Each entry with the kind of its line.</summary>
    public static IEnumerable<(string Kind, string Word)> Words()
    {
        using Stream stream = typeof(UnicodeData).Assembly.GetManifestResourceStream("Diffract.Tokens.Components.unicode.txt")
            ?? throw new InvalidOperationException("unicode.txt is not in the assembly");
        using StreamReader reader = new(stream);
        while (reader.ReadLine() is { } line)
        {
            string[] words = line.Split(' ');
            foreach (string word in words[0] == "#" ? [] : words[1..])
            {
                yield return (words[0], word);
            }
        }
    }

    /// <summary>"300-314" as the code points that it means.</summary>
    public static IEnumerable<int> Range(string text) => text.Split('-') is [string first, string last] ? Enumerable.Range(Hex(first), Hex(last) - Hex(first) + 1) : [];

    public static int Hex(string text) => int.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}

using System.Globalization;

namespace Diffract.Tokens.Components;

/// <summary>
/// For each category a character of the basic plane that a pattern does not name, to be matched in the place of those beyond it: .NET's patterns know UTF-16 units, not code points.
/// </summary>
sealed class StandIns
{
    /// <summary>For letters that are symbols by category, such as U+1F130.</summary>
    const char CircledLetter = '\u24B6';

    readonly List<(char First, char Last)> _named;
    readonly Dictionary<UnicodeCategory, char> _byCategory = [];

    /// <param name="named">The ranges of characters that the pattern names.</param>
    public StandIns(List<(char First, char Last)> named)
    {
        _named = named;

        // From above, where a pattern's own characters are rarely, and none that another letter's case folds to.
        for (int c = 0xFFFF; c > 0; c--)
        {
            UnicodeCategory category = CharUnicodeInfo.GetUnicodeCategory((char)c);
            if (!_byCategory.ContainsKey(category) && !IsNamed((char)c) && c is not (0x212A or 0x017F) && (category != UnicodeCategory.OtherSymbol || !Characters.IsWord(c)))
            {
                _byCategory[category] = (char)c;
            }
        }
    }

    /// <summary>The character to match in a code point's place, or null where the pattern names all that could.</summary>
    public char? For(int codePoint)
    {
        UnicodeCategory category = CharUnicodeInfo.GetUnicodeCategory(codePoint);
        if (category == UnicodeCategory.OtherSymbol && Characters.IsWord(codePoint))
        {
            return IsNamed(CircledLetter) ? null : CircledLetter;
        }

        return _byCategory.TryGetValue(category, out char found) ? found : null;
    }

    bool IsNamed(char c) => _named.Exists(r => r.First <= c && c <= r.Last);
}

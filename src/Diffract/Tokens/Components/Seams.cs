namespace Diffract.Tokens.Components;

/// <summary>Ids of the tokens that are one character.</summary>
sealed class CharacterIds
{
    readonly int[] _basic = new int[0x10000];
    readonly Dictionary<int, int> _beyond = [];

    public CharacterIds(Dictionary<string, int> vocabulary)
    {
        _basic.AsSpan().Fill(-1);
        foreach ((string token, int id) in vocabulary)
        {
            if (token.Length is 1 or 2 && System.Text.Rune.TryGetRuneAt(token, 0, out System.Text.Rune rune) && rune.Utf16SequenceLength == token.Length)
            {
                if (token.Length == 1)
                {
                    _basic[rune.Value] = id;
                }
                else
                {
                    _beyond[rune.Value] = id;
                }
            }
        }
    }

    /// <summary>The character's id, or -1.</summary>
    public int Of(int character) => character < 0x10000 ? _basic[character] : _beyond.GetValueOrDefault(character, -1);
}

/// <summary>Which characters some merge joins.</summary>
static class Seams
{
    /// <summary>
    /// For each merge the last character of its left token and the first of its right one, by ids. Null where a token of bytes or the unknown token takes part, whose text is not what it stands for.
    /// </summary>
    public static MergeTable? Of(Dictionary<string, int> vocabulary, List<(int Left, int Right, int Id)> merges, CharacterIds characters, int[]? bytes, int? unknown)
    {
        Dictionary<int, (int First, int Last)> ends = new(vocabulary.Count);
        foreach ((string token, int id) in vocabulary)
        {
            ends[id] = token.Length == 0 ? (-1, -1) : (First(token), Last(token));
        }

        HashSet<int> opaque = bytes is null ? [] : [.. bytes];
        opaque.Add(unknown ?? -1);
        MergeTable seams = new(merges.Count);
        foreach ((int left, int right, int id) in merges)
        {
            int last = characters.Of(ends[left].Last), first = characters.Of(ends[right].First);
            if (opaque.Contains(left) || opaque.Contains(right) || opaque.Contains(id) || ends[left].Last < 0 || ends[right].First < 0)
            {
                return null;
            }

            if (last >= 0 && first >= 0)
            {
                seams.Set(last, first, 0, 0);
            }
        }

        return seams;

        static int First(string token) => System.Text.Rune.TryGetRuneAt(token, 0, out System.Text.Rune rune) ? rune.Value : -1;

        static int Last(string token) => token.Length > 1 && System.Text.Rune.TryGetRuneAt(token, token.Length - 2, out System.Text.Rune pair) && pair.Utf16SequenceLength == 2 ? pair.Value
            : System.Text.Rune.TryGetRuneAt(token, token.Length - 1, out System.Text.Rune rune) ? rune.Value : -1;
    }
}

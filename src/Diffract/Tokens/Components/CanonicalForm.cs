using System.Globalization;

namespace Diffract.Tokens.Components;

/// <summary>
/// NFC and NFD with the places of the characters that each result stands for. The runtime's own normalisation gives no places, and none at all without ICU; so the tables come along (unicode.txt).
/// </summary>
static class CanonicalForm
{
    const int HangulFirst = 0xAC00, LeadFirst = 0x1100, VowelFirst = 0x1161, TrailBefore = 0x11A7;
    const int Leads = 19, Vowels = 21, Trails = 28;

    /// <summary>No character below changes in either form, or has a class.</summary>
    const int Simple = 0xC0;

    /// <summary>No character below is changed by NFC.</summary>
    const int SimpleComposed = 0x300;

    static readonly Lazy<Tables> Data = new(Tables.Read);

    /// <summary>The text in NFC, or the same object where nothing can change.</summary>
    public static AlignedText Compose(AlignedText text, int start, int end)
        => Plain(text, start, end, SimpleComposed) ? text : Composed(Decomposed(text, start, end), text, start);

    /// <summary>The text in NFD, or the same object where nothing can change.</summary>
    public static AlignedText Decompose(AlignedText text, int start, int end)
        => Plain(text, start, end, Simple) ? text : Align(Decomposed(text, start, end), text, start);

    static bool Plain(AlignedText text, int start, int end, int below)
    {
        foreach (int c in text.Span(start, end))
        {
            if (c >= below)
            {
                return false;
            }
        }

        return true;
    }

    // Each character with how the result's length changed by it: 0 in the place of an original one, +1 inserted, -n in the place of n + 1. The order is the reference library's.
    static List<(int Character, int Change)> Decomposed(AlignedText text, int start, int end)
    {
        Tables data = Data.Value;
        List<(int Character, int Change)> result = new(end - start + 16);
        Span<int> parts = stackalloc int[8];
        int pending = 0;
        for (int i = start; i < end; i++)
        {
            int count = data.Decompose(text.CodePoints[i], parts);
            for (int k = 0; k < count; k++)
            {
                if (data.Class(parts[k]) == 0)
                {
                    Sort(result, pending);
                    pending = result.Count + 1;
                }

                result.Add((parts[k], k == 0 ? 0 : 1));
            }
        }

        Sort(result, pending);
        return result;

        void Sort(List<(int Character, int Change)> list, int from)
        {
            if (list.Count - from > 1)
            {
                (int Character, int Change)[] sorted = [.. list.Skip(from).OrderBy(c => data.Class(c.Character))];
                list.RemoveRange(from, sorted.Length);
                list.AddRange(sorted);
            }
        }
    }

    static AlignedText Composed(List<(int Character, int Change)> parts, AlignedText text, int start)
    {
        Tables data = Data.Value;
        List<(int Character, int Change)> result = new(parts.Count);
        List<(int Character, int Change)> blocked = [];
        (int Character, int Change)? starter = null;
        int lastClass = 0;
        foreach ((int c, int change) in parts)
        {
            int cls = data.Class(c);
            if (starter is not { } s)
            {
                if (cls != 0)
                {
                    result.Add((c, change));
                }
                else
                {
                    starter = (c, change);
                }

                continue;
            }

            bool free = blocked.Count == 0 || lastClass < cls;
            if (free && data.Compose(s.Character, c) is int composed)
            {
                starter = (composed, s.Change + change - 1);
            }
            else if (cls == 0)
            {
                result.Add(s);
                result.AddRange(blocked);
                blocked.Clear();
                starter = (c, change);
            }
            else
            {
                blocked.Add((c, change));
                lastClass = cls;
            }
        }

        if (starter is { } last)
        {
            result.Add(last);
        }

        result.AddRange(blocked);
        return Align(result, text, start);
    }

    // An inserted character stands where the one before the next original stands.
    static AlignedText Align(List<(int Character, int Change)> changed, AlignedText text, int start)
    {
        AlignedTextBuilder result = new(changed.Count);
        int next = start;
        foreach ((int c, int change) in changed)
        {
            result.Add(c, text.At(change > 0 ? Math.Max(next - 1, start) : next));
            next += change > 0 ? 0 : 1 - change;
        }

        return result.Build();
    }

    sealed class Tables
    {
        readonly Dictionary<int, byte> _classes = [];
        readonly Dictionary<int, int[]> _decompositions = [];
        readonly Dictionary<(int, int), int> _compositions = [];

        public static Tables Read()
        {
            Tables tables = new();
            foreach ((string kind, string word) in UnicodeData.Words())
            {
                tables.Add(kind, word);
            }

            foreach (int c in tables._decompositions.Keys.ToArray())
            {
                tables._decompositions[c] = [.. tables.Full(c)];
            }

            return tables;
        }

        public int Class(int c) => c < SimpleComposed ? 0 : _classes.GetValueOrDefault(c);

        public int Decompose(int c, Span<int> parts)
        {
            if (c is >= HangulFirst and < HangulFirst + Leads * Vowels * Trails)
            {
                int index = c - HangulFirst, trail = index % Trails;
                (parts[0], parts[1]) = (LeadFirst + index / (Vowels * Trails), VowelFirst + index % (Vowels * Trails) / Trails);
                parts[2] = TrailBefore + trail;
                return trail == 0 ? 2 : 3;
            }

            if (c < Simple || !_decompositions.TryGetValue(c, out int[]? full))
            {
                parts[0] = c;
                return 1;
            }

            full.CopyTo(parts);
            return full.Length;
        }

        public int? Compose(int a, int b)
        {
            if (a is >= LeadFirst and < LeadFirst + Leads && b is >= VowelFirst and < VowelFirst + Vowels)
            {
                return HangulFirst + ((a - LeadFirst) * Vowels + (b - VowelFirst)) * Trails;
            }

            if (a is >= HangulFirst and < HangulFirst + Leads * Vowels * Trails && (a - HangulFirst) % Trails == 0 && b is > TrailBefore and < TrailBefore + Trails)
            {
                return a + b - TrailBefore;
            }

            return _compositions.TryGetValue((a, b), out int composed) ? composed : null;
        }

        void Add(string kind, string word)
        {
            if (kind == "ccc")
            {
                string[] parts = word.Split(':');
                foreach (int c in UnicodeData.Range(parts[0]))
                {
                    _classes[c] = byte.Parse(parts[1], CultureInfo.InvariantCulture);
                }

                return;
            }

            if (kind != "dec")
            {
                return;
            }

            string[] sides = word.Split('=');
            int[] to = [.. sides[1].TrimStart('.').Split('+').Select(UnicodeData.Hex)];
            if (!sides[1].StartsWith('.'))
            {
                _compositions[(to[0], to[1])] = UnicodeData.Hex(sides[0]);
            }

            _decompositions[UnicodeData.Hex(sides[0])] = to;
        }

        // The database gives one step at a time.
        IEnumerable<int> Full(int c) => _decompositions.TryGetValue(c, out int[]? parts) ? parts.SelectMany(Full) : [c];
    }
}

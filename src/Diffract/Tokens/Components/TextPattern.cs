using System.Text.RegularExpressions;
using Diffract.Runs;

namespace Diffract.Tokens.Components;

/// <summary>What a component looks for in a text: calls back with the matches from left to right, none of which overlap.</summary>
abstract class TextPattern
{
    /// <summary>Adds the matches in text[start..end) as ranges of the text.</summary>
    public abstract void Find(AlignedText text, int start, int end, List<(int Start, int End)> matches);

    /// <summary>Each character that fulfils a condition.</summary>
    public static TextPattern Where(Func<int, bool> condition) => new CharacterPattern(condition);

    /// <summary>A text that is not empty, as it stands.</summary>
    public static TextPattern Literal(string text) => new LiteralPattern(AlignedText.Of(text));

    /// <summary>An Oniguruma pattern; the best known ones by a scanner of their own.</summary>
    public static TextPattern Regex(string pattern, string where) => WordScanner.TryFor(pattern) ?? (TextPattern)new RegexPattern(OnigurumaPattern.Parse(pattern, where), where);

    sealed class CharacterPattern(Func<int, bool> condition) : TextPattern
    {
        public override void Find(AlignedText text, int start, int end, List<(int Start, int End)> matches)
        {
            for (int i = start; i < end; i++)
            {
                if (condition(text.CodePoints[i]))
                {
                    matches.Add((i, i + 1));
                }
            }
        }
    }

    sealed class LiteralPattern(AlignedText wanted) : TextPattern
    {
        public override void Find(AlignedText text, int start, int end, List<(int Start, int End)> matches)
        {
            ReadOnlySpan<int> pattern = wanted.Span(0, wanted.Length);
            for (int at = start; ;)
            {
                int next = text.Span(at, end).IndexOf(pattern);
                if (next < 0)
                {
                    return;
                }

                matches.Add((at + next, at + next + pattern.Length));
                at += next + pattern.Length;
            }
        }
    }

    // The text is matched with a character of the same category in the place of each one beyond the basic plane, so that an index is a code point.
    sealed class RegexPattern : TextPattern
    {
        /// <summary>Characters after which compiling pays: it takes milliseconds, and a tokenizer may be loaded for a handful of short texts.</summary>
        const int CompileFrom = 1 << 16;

        static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

        volatile Regex _regex;
        long _seen;
        readonly OnigurumaPattern _pattern;
        readonly string _where;

        public RegexPattern(OnigurumaPattern pattern, string where)
        {
            (_pattern, _where) = (pattern, where);
            try
            {
                _regex = new Regex(pattern.Translation, RegexOptions.CultureInvariant, Limit);
            }
            catch (ArgumentException e)
            {
                throw new DiffractException($"{where}: the pattern {pattern.Original} is not valid ({e.Message}); fetch the file again", inner: e);
            }
        }

        public override void Find(AlignedText text, int start, int end, List<(int Start, int End)> matches)
        {
            // Only the call that crosses the limit compiles.
            if (_seen < CompileFrom && Interlocked.Add(ref _seen, end - start) >= CompileFrom && !_regex.Options.HasFlag(RegexOptions.Compiled))
            {
                _regex = new Regex(_pattern.Translation, RegexOptions.CultureInvariant | RegexOptions.Compiled, Limit);
            }

            string mapped = string.Create(end - start, (text, start, _pattern), static (to, from) =>
            {
                for (int i = 0; i < to.Length; i++)
                {
                    int c = from.text.CodePoints[from.start + i];
                    to[i] = c < 0x10000 ? (char)c : from._pattern.StandIn(c);
                }
            });
            try
            {
                // A match may take as long as the limit; the time of all grows with the text.
                long deadline = Environment.TickCount64 + (long)Limit.TotalMilliseconds + mapped.Length / 100;
                int last = -1;
                foreach (ValueMatch match in _regex.EnumerateMatches(mapped))
                {
                    // As the reference library, no empty match right after another.
                    if (match.Length > 0 || match.Index != last)
                    {
                        last = match.Index + match.Length;
                        matches.Add((start + match.Index, start + last));
                    }

                    if ((matches.Count & 0xFFF) == 0 && Environment.TickCount64 > deadline)
                    {
                        throw new RegexMatchTimeoutException();
                    }
                }
            }
            catch (RegexMatchTimeoutException e)
            {
                throw new DiffractException(
                    $"{_where}: the pattern {_pattern.Original} took more than {Limit.TotalSeconds:0} seconds on a text of {mapped.Length} characters; cut the text into shorter documents, or use a tokenizer whose pattern does not backtrack", inner: e);
            }
        }
    }
}

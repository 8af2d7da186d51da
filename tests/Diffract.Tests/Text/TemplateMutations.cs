using System.Text;
using System.Text.RegularExpressions;
using Diffract.Tests.Formats;

namespace Diffract.Tests.Text;

/// <summary>Damages a chat template by its tokens: left out, twice, swapped, replaced by tokens of other templates or by what is dear to compute; or by its bytes.</summary>
sealed class TemplateMutations(IReadOnlyList<string> templates)
{
    static readonly string[] Dear =
    [
        "99999999999", "range(10**9)", "'a' * 1000000000", "[0] * 1000000000", "(1,) * 1000000", "10 ** 10 ** 10", "'%1000000000d' % 1", "'{:>999999999}'.format(1)", "messages * 100000", "'a'|center(10**9)",
        "{% for i in range(10**6) %}{% for j in range(10**6) %}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% set x = namespace(y=[]) %}", "''.join(range(99)|map('string'))", "''.__class__.__mro__",
        "x|indent(10**8)", "'a'|replace('', 'bbbb' * 10000)", "-1", "none", "loop.cycle()", "loop.index0", "self", "caller()", "|sort", "|tojson(indent=1000)", "|batch(10**8)", "**", "//", "%", "is defined", "[::-1]",
        "{% raw %}", "{%- endraw -%}", "{# ", " #}", "\\", "'", "\"", "\0", "\ud83d\ude42", "{% generation %}", "{% endgeneration %}", "{% break %}", "{% continue %}", "{% include 'x' %}", "{% call m() %}",
        "{{ " + new string('(', 2000), "{{ " + new string('[', 300), "{{ -" + new string('-', 3000), "{% if 1 %}", "{{ not not not x }}", "{{ x.a.b.c }}", "~ 'a' ~", "<", "==",
    ];

    static readonly string[] Edges =
    [
        "''", "'a'", "' b C '", "'\u0130\u00df'", "'\ud83d\ude42'", "x", "x.y", "none", "true", "0", "-1", "3", "10**30", "1.5", "1e308", "[]", "[()]", "[[], 1]", "()", "(1, 'a')", "{}", "{'a': none}", "messages", "messages[0]",
        "range(3)", "namespace(a=1)", "loop", "'%s %d %('", "'{} {a.b} {0[x]'", "raise_exception", "joiner", "cycler", "lipsum", "'2026'", "dict",
    ];

    readonly string[] _calls =
    [
        .. templates.SelectMany(t => Regex.Matches(t, @"\|\s*\w+|\.\w+(?=\()|\bis\s+(not\s+)?\w+|\b\w+(?=\()").Select(m => m.Value)).Distinct().Order(StringComparer.Ordinal),
    ];

    readonly string[][] _templates = [.. templates.Select(t => Regex.Matches(t, @"[{][%{#][-+]?|[-+]?[%}#][}]|\w+|\s+|.", RegexOptions.Singleline).Select(m => m.Value).ToArray())];

    /// <summary>A damaged template: by tokens, or, one time in four, by bytes; or, one time in five, a call of something that the templates call, with values at the edge.</summary>
    public string Damage(Mutations mutations)
    {
        if (mutations.Next(5) == 0)
        {
            string call = _calls[mutations.Next(_calls.Length)], given = string.Join(", ", Enumerable.Range(0, mutations.Next(4)).Select(_ => Edge(mutations)));
            return $"{{{{ {(call[0] is '|' or '.' || call.StartsWith("is", StringComparison.Ordinal) ? Edge(mutations) : "")} {call}({given}){(mutations.Next(2) == 0 ? "|list" : "")} }}}}";
        }

        List<string> tokens = [.. _templates[mutations.Next(_templates.Length)]];
        if (mutations.Next(4) == 0)
        {
            return Encoding.UTF8.GetString(mutations.Damage(Encoding.UTF8.GetBytes(string.Concat(tokens))));
        }

        for (int i = 1 + mutations.Next(5); i > 0 && tokens.Count > 0; i--)
        {
            int at = mutations.Next(tokens.Count);
            string[] other = _templates[mutations.Next(_templates.Length)];
            switch (mutations.Next(8))
            {
                case 0:
                    tokens.RemoveAt(at);
                    break;
                case 1:
                    tokens.Insert(at, tokens[mutations.Next(tokens.Count)]);
                    break;
                case 2:
                    int second = mutations.Next(tokens.Count);
                    (tokens[at], tokens[second]) = (tokens[second], tokens[at]);
                    break;
                case 3:
                    tokens[at] = other[mutations.Next(other.Length)];
                    break;
                case 4:
                    int from = mutations.Next(other.Length);
                    tokens.InsertRange(at, other[from..Math.Min(other.Length, from + 1 + mutations.Next(30))]);
                    break;
                case 5 when mutations.Next(4) == 0:
                    tokens.RemoveRange(at, tokens.Count - at);
                    break;
                case 6:
                    tokens[at] = Dear[mutations.Next(Dear.Length)];
                    break;
                default:
                    tokens.Insert(at, " " + Dear[mutations.Next(Dear.Length)] + " ");
                    break;
            }
        }

        return string.Concat(tokens);
    }

    static string Edge(Mutations mutations) => Edges[mutations.Next(Edges.Length)];
}

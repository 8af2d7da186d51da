using Diffract.Formats.Jinja;

namespace Diffract.Tests.Formats.Jinja;

public sealed class JinjaSandboxTests
{
    static readonly DateTime Now = new(2026, 1, 2, 3, 4, 5);
    static readonly Dictionary<string, object?> Nothing = [];

    static string Refused(string template, JinjaLimits? limits = null)
    {
        JinjaException e = Assert.Throws<JinjaException>(() => JinjaTemplate.Parse(template, limits).Render(Nothing, Now));
        Assert.DoesNotContain('\n', e.Text);
        return e.Text;
    }

    [Theory]
    [InlineData("{% for i in range(10**9) %}x{% endfor %}", "OverflowError: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).")]
    [InlineData("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "LimitError: the template takes more than 20000000 steps")]
    [InlineData("{{ 'a' * 10**9 }}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{% for i in range(10**12) %}{% endfor %}", "OverflowError: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).")]
    [InlineData("{{ 'a' * 10**12 }}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{% for i in range(100000) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' * 100 }}{% endfor %}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{% set ns = namespace(a='ab') %}{% for i in range(100) %}{% set ns.a = [ns.a, ns.a] | join(ns.a) %}{% endfor %}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{% set ns = namespace(a='ab') %}{% for i in range(100) %}{% set ns.a %}{{ ns.a }}{{ ns.a }}{% endset %}{% endfor %}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}", "LimitError: the template takes more than 20000000 steps")]
    [InlineData("{% macro f(n) %}{{ caller() }}{% call f(n) %}x{% endcall %}{% endmacro %}{% call f(1) %}y{% endcall %}", "LimitError: the template nests deeper than 400")]
    [InlineData("{{ [1] * 10**9 }}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{{ 'a' | center(10**9) }}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{{ '%999999999d' % 1 }}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{{ '{:>999999999}'.format('a') }}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{% set ns = namespace(a='aaaaaaaaaa') %}{% for i in range(100) %}{% set ns.a = ns.a + ns.a %}{% endfor %}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{% set ns = namespace(a='aaaaaaaaaa') %}{% for i in range(9) %}{% set ns.a = ns.a.replace('a', ns.a) %}{% endfor %}", "LimitError: the template makes more than 134217728 characters and items")]
    [InlineData("{% set ns = namespace(a=[1]) %}{% for i in range(100) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}", "LimitError: the template takes more than 20000000 steps")]
    [InlineData("{% set ns = namespace(a=[1]) %}{% for i in range(50000) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a }}", "LimitError: the template nests deeper than 400")]
    [InlineData("{% set ns = namespace(a=[1]) %}{% for i in range(50000) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a | tojson }}", "LimitError: the template nests deeper than 400")]
    [InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "LimitError: the template nests deeper than 400")]
    [InlineData("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", "LimitError: the template nests deeper than 400")]
    [InlineData("{{ 2 ** 1000000000 }}", "LimitError: the template makes an integer of more than 20000 bits")]
    [InlineData("{% set ns = namespace(a=3) %}{% for i in range(60) %}{% set ns.a = ns.a * ns.a %}{% endfor %}", "LimitError: the template makes an integer of more than 20000 bits")]
    [InlineData("{{ ''.__class__.__mro__ }}", "SecurityError: access to attribute '__class__' of 'str' object is unsafe.")]
    [InlineData("{{ namespace.__init__.__globals__ }}", "SecurityError: access to attribute '__init__' of 'type' object is unsafe.")]
    [InlineData("{% include '/etc/passwd' %}", "Unsupported: the tag 'include'")]
    public void What_would_take_too_much_or_reach_out_is_refused_at_once(string template, string error)
        => Assert.Equal(error, Refused(template));

    [Theory]
    [InlineData("{{ ", "(", "1", ")", " }}")]
    [InlineData("{{ ", "[", "1", "]", " }}")]
    [InlineData("{{ ", "not ", "1", "", " }}")]
    [InlineData("{{ ", "-", "1", "", " }}")]
    [InlineData("{{ ", "1+", "1", "", " }}")]
    [InlineData("{{ 1", "", "|abs", "|abs", " }}")]
    [InlineData("", "{% if 1 %}", "1", "{% endif %}", "")]
    [InlineData("", "{% for i in [1] %}", "1", "{% endfor %}", "")]
    [InlineData("", "{% macro m() %}", "1", "{% endmacro %}", "")]
    [InlineData("{{ ", "{1: ", "1", "}", " }}")]
    [InlineData("{{ 1", "", " if 1 else 1", " if 1 else 1", " }}")]
    public void Deep_nesting_is_refused_and_not_a_crash(string before, string open, string middle, string close, string after)
    {
        string template = before + string.Concat(Enumerable.Repeat(open, 20_000)) + middle + string.Concat(Enumerable.Repeat(close, 20_000)) + after;
        Assert.Equal("LimitError: the template nests deeper than 400", Refused(template));
    }

    [Fact]
    public void An_empty_string_is_replaced_around_every_character()
        => Assert.Equal("-a-b-|-a-bc|x", JinjaTemplate.Parse("{{ 'ab'.replace('', '-') }}|{{ 'abc'.replace('', '-', 2) }}|{{ ''.replace('', 'x') }}").Render(Nothing, Now).Text);

    [Fact]
    public void An_empty_string_is_capitalised_and_an_empty_pair_makes_no_dictionary()
    {
        Assert.Equal("[]", JinjaTemplate.Parse("[{{ ''|capitalize }}]").Render(Nothing, Now).Text);
        Assert.Equal("ValueError: dictionary update sequence element #0 has length 0; 2 is required", Refused("{{ dict([()]) }}"));
    }

    [Fact]
    public void Only_a_namespace_takes_attributes()
        => Assert.Equal("TemplateRuntimeError: cannot assign attribute on non-namespace object", Refused("{% set a.b = 2 %}"));

    [Fact]
    public void Each_limit_can_be_set()
    {
        Assert.StartsWith("LimitError: the template takes more than 50 steps", Refused("{% for i in range(100) %}{% endfor %}", new JinjaLimits { Steps = 50 }), StringComparison.Ordinal);
        Assert.StartsWith("LimitError: the template makes more than 10 characters", Refused("{{ 'abcdefghijk' }}", new JinjaLimits { Memory = 10 }), StringComparison.Ordinal);
        Assert.StartsWith("LimitError: the template nests deeper than 5", Refused("{{ ((((((1)))))) }}", new JinjaLimits { Depth = 5 }), StringComparison.Ordinal);
        Assert.StartsWith("LimitError: the template has 4 characters, at most 3 are read", Refused("abcd", new JinjaLimits { TemplateLength = 3 }), StringComparison.Ordinal);
    }

    [Fact]
    public void Generation_spans_are_code_points_and_start_where_the_root_stood()
    {
        Assert.Equal([(2, 4), (5, 5)], JinjaTemplate.Parse("🙂a{% generation %}🙂b{% endgeneration %}c{% generation %}{% endgeneration %}").Render(Nothing, Now).Generation);

        // A macro's output reaches the root when the macro has ended: the span is transformers', not where the text ends up.
        Assert.Equal([(1, 2)], JinjaTemplate.Parse("x{% macro f() %}yy{% generation %}z{% endgeneration %}{% endmacro %}{{ f() }}").Render(Nothing, Now).Generation);
    }

    [Fact]
    public void Damaged_templates_give_their_own_error_and_nothing_else()
    {
        string whole = File.ReadAllText(GoldenFiles.Path("chat_templates.json"));
        string[] sources = [.. System.Text.Json.JsonDocument.Parse(whole).RootElement.EnumerateArray().Select(t => t.GetProperty("template").GetString()!)];
        Dictionary<string, object?> variables = new() { ["messages"] = JinjaValues.FromJson(System.Text.Json.JsonDocument.Parse("""[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]""").RootElement) };
        Random draw = new(7);
        int refused = 0;
        for (int i = 0; i < 2000; i++)
        {
            char[] text = sources[i % sources.Length].ToCharArray();
            for (int change = draw.Next(1, 4); change > 0; change--)
            {
                int from = draw.Next(text.Length), to = draw.Next(text.Length);
                text[from] = draw.Next(2) == 0 ? text[to] : "{}%|()[]'\"-+*.,:~ \n0aif"[draw.Next(23)];
            }

            try
            {
                JinjaTemplate.Parse(new string(text), new JinjaLimits { Steps = 100_000, Memory = 1 << 20 }).Render(variables, Now);
            }
            catch (JinjaException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 200, 1990);
    }
}

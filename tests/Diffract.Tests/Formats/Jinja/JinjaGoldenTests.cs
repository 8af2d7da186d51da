using System.Text.Json;
using Diffract.Formats.Jinja;

namespace Diffract.Tests.Formats.Jinja;

public sealed class JinjaGoldenTests
{
    static readonly DateTime Now = new(2026, 1, 2, 3, 4, 5);

    [Fact]
    public void Every_probe_is_answered_as_jinja2_answers_it()
    {
        JsonElement probes = JsonDocument.Parse(File.ReadAllText(GoldenFiles.Path("chat_template_probes.json"))).RootElement;
        Dictionary<string, object?> variables = new() { ["messages"] = JinjaValues.FromJson(probes.GetProperty("M")) };
        List<string> wrong = [];
        int count = 0;
        foreach (JsonElement probe in probes.GetProperty("cases").EnumerateArray())
        {
            count++;
            Compare(probe.GetProperty("t").GetString()!, variables, probe, wrong);
        }

        Assert.Empty(wrong);
        Assert.Equal(300, count);
    }

    [Fact]
    public void Every_template_renders_every_chat_as_jinja2_does()
    {
        List<string> wrong = [];
        int count = 0;
        foreach (JsonElement template in JsonDocument.Parse(File.ReadAllText(GoldenFiles.Path("chat_templates.json"))).RootElement.EnumerateArray())
        {
            foreach (JsonElement chat in template.GetProperty("cases").EnumerateArray())
            {
                Dictionary<string, object?> variables = new() { ["bos_token"] = "<bos>", ["eos_token"] = "</s>", ["messages"] = JinjaValues.FromJson(chat.GetProperty("messages")) };
                foreach (JsonProperty option in chat.GetProperty("options").EnumerateObject())
                {
                    variables[option.Name] = JinjaValues.FromJson(option.Value);
                }

                count++;
                Compare(template.GetProperty("template").GetString()!, variables, chat, wrong);
            }
        }

        Assert.Empty(wrong);
        Assert.Equal(126, count);
    }

    static void Compare(string template, Dictionary<string, object?> variables, JsonElement wanted, List<string> wrong)
    {
        string got;
        try
        {
            got = "text " + JinjaTemplate.Parse(template).Render(variables, Now).Text;
        }
        catch (JinjaException e)
        {
            got = "error " + e.Text;
        }

        string expected = wanted.TryGetProperty("text", out JsonElement text) ? "text " + text.GetString() : "error " + wanted.GetProperty("error").GetString();
        if (got != expected)
        {
            wrong.Add($"{template}\n  wanted {expected}\n  got {got}");
        }
    }
}

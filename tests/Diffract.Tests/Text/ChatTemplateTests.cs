using System.Text.Json;
using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Tests.Text;

public sealed class ChatTemplateTests
{
    static readonly JsonElement Gemma = JsonDocument.Parse(File.ReadAllText(GoldenFiles.Path("chat_templates.json"))).RootElement.EnumerateArray().Single(t => t.GetProperty("name").GetString() == "gemma-like");

    [Fact]
    public void The_published_template_renders_as_the_reference_does()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(Path.Combine(folder.Path, "chat_template.jinja"), Gemma.GetProperty("template").GetString());
        folder.File("tokenizer_config.json", """{"bos_token": {"content": "<bos>", "special": true}}""");
        ChatTemplate template = ChatTemplate.Load(folder.Path);
        int texts = 0, errors = 0;
        foreach (JsonElement c in Gemma.GetProperty("cases").EnumerateArray())
        {
            Turn[] turns = [.. c.GetProperty("messages").EnumerateArray().Select(m => new Turn(m.GetProperty("role").GetString()!, m.GetProperty("content").ToString()))];
            if (c.TryGetProperty("text", out JsonElement text))
            {
                Assert.Equal(text.GetString(), template.Render(turns, c.GetProperty("options").GetProperty("add_generation_prompt").GetBoolean()).Text);
                texts++;
            }
            else
            {
                Assert.Throws<DiffractException>(() => template.Render(turns));
                errors++;
            }
        }

        Assert.Equal((9, 9), (texts, errors));
    }

    [Fact]
    public void The_template_may_stand_in_the_configuration_alone_or_by_name()
    {
        string text = JsonSerializer.Serialize(Gemma.GetProperty("template").GetString());
        foreach (string value in (string[])[text, $$"""[{"name": "tool_use", "template": "x"}, {"name": "default", "template": {{text}}}]"""])
        {
            using TemporaryFolder folder = new();
            folder.File("tokenizer_config.json", $$"""{"bos_token": "<s>", "chat_template": {{value}}}""");
            Assert.Equal("<s><start_of_turn>user\nhi<end_of_turn>\n", ChatTemplate.Load(folder.Path).Render([new Turn("user", " hi\u001f")]).Text);
        }
    }

    [Fact]
    public void A_model_without_template_is_refused()
    {
        using TemporaryFolder folder = new();
        Assert.Contains("no chat template", Assert.Throws<DiffractException>(() => ChatTemplate.Load(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Spans_are_code_points_of_the_trimmed_content()
    {
        RenderedChat chat = ChatTemplate.Load(Path.Combine(GoldenFiles.Assets, "chat")).Render([new Turn("user", " 🙂a "), new Turn("assistant", "b")]);
        int[] runes = [.. chat.Text.EnumerateRunes().Select(r => r.Value)];
        string[] pieces = [.. chat.Spans.Select(s => string.Concat(runes[s.Start..s.End].Select(char.ConvertFromUtf32)))];
        Assert.Equal(["<bos>", "<start_of_turn>user\n", "🙂a", "<end_of_turn>\n", "<start_of_turn>model\n", "b<end_of_turn>", "<end_of_turn>\n"], pieces);
        Assert.Equal([-1, 0, 0, 0, 1, 1, 1], chat.Spans.Select(s => s.Turn));
    }
}

using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Formats.Jinja;
using Diffract.Runs;
using Diffract.Tests.Formats;
using Diffract.Text;

namespace Diffract.Tests.Text;

/// <summary>Damaged chat templates render or are refused, by <see cref="MutatedFiles"/>, whether as Jinja text or inside a tokenizer_config.json.</summary>
public sealed class MutatedTemplateTests : IDisposable
{
    /// <summary>What the limits let a rendering make (128 Mi characters and items), with the copies that the runtime makes on the way.</summary>
    const long MostBytes = 2L << 30;

    static readonly JsonElement[] Golden = [.. JsonDocument.Parse(File.ReadAllText(GoldenFiles.Path("chat_templates.json"))).RootElement.EnumerateArray()];
    static readonly string[] Templates = [.. Golden.Select(t => t.GetProperty("template").GetString()!)];
    static readonly Turn[] Turns = [new("user", " Hello "), new("assistant", "Good day."), new("user", "And now?\n")];

    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Damaged_templates_give_our_own_error_in_bounded_memory()
    {
        TemplateMutations mutations = new([.. Templates, .. JsonDocument.Parse(File.ReadAllText(GoldenFiles.Path("chat_template_probes.json"))).RootElement.GetProperty("cases").EnumerateArray().Select(p => p.GetProperty("t").GetString()!)]);
        JsonElement[] chats = [.. Golden[^1].GetProperty("cases").EnumerateArray().Select(c => c.GetProperty("messages"))];
        int number = 0;
        MutatedFiles.Check("chat template, Jinja text", MostBytes, m => Encoding.UTF8.GetBytes(mutations.Damage(m)), damaged =>
        {
            Dictionary<string, object?> variables = new()
            {
                ["bos_token"] = "<bos>",
                ["messages"] = JinjaValues.FromJson(chats[number++ % chats.Length]),
                ["add_generation_prompt"] = true,
            };
            try
            {
                JinjaTemplate.Parse(Encoding.UTF8.GetString(damaged)).Render(variables, new DateTime(2026, 1, 2));
            }
            catch (JinjaException e)
            {
                throw new DiffractException(e.Text.Split('\n')[0], inner: e);
            }
        });
    }

    [Theory]
    [InlineData("chat_template.jinja")]
    [InlineData("tokenizer_config.json, bytes")]
    [InlineData("tokenizer_config.json, values")]
    public void Damaged_template_files_give_our_own_error_in_bounded_memory(string kind)
    {
        string[] configs = [.. Templates.SelectMany(Configs)];
        JsonMutations structure = new(configs);
        byte[][] whole = [.. configs.Select(Encoding.UTF8.GetBytes)];
        TemplateMutations templates = new(Templates);
        string path = Path.Combine(_folder.Path, kind.Split(',')[0]);
        MutatedFiles.Check(
            kind,
            MostBytes,
            m => kind.EndsWith("jinja", StringComparison.Ordinal) ? Encoding.UTF8.GetBytes(templates.Damage(m)) : kind.EndsWith("values", StringComparison.Ordinal) ? structure.Damage(m) : m.Damage(whole[m.Next(whole.Length)]),
            damaged =>
            {
                File.WriteAllBytes(path, damaged);
                ChatTemplate.Load(_folder.Path, "<bos>").Render(Turns, addGenerationPrompt: true);
            });
    }

    /// <summary>The two published forms of a template in a configuration, and of a special token.</summary>
    static string[] Configs(string template) =>
    [
        new JsonObject { ["bos_token"] = "<s>", ["eos_token"] = "</s>", ["chat_template"] = template, ["model_max_length"] = 1e30, ["add_bos_token"] = true }.ToJsonString(),
        new JsonObject
        {
            ["bos_token"] = new JsonObject { ["content"] = "<s>", ["lstrip"] = false, ["__type"] = "AddedToken" },
            ["added_tokens_decoder"] = new JsonObject { ["1"] = new JsonObject { ["content"] = "<s>", ["special"] = true } },
            ["chat_template"] = new JsonArray(new JsonObject { ["name"] = "default", ["template"] = template }, new JsonObject { ["name"] = "tool_use", ["template"] = "{{ tools }}" }),
        }.ToJsonString(),
    ];
}

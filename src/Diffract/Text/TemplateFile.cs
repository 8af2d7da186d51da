using System.Text.Json;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Text;

/// <summary>A checkpoint's chat template and the special tokens that its files name.</summary>
/// <param name="Text">The template's text as it stands.</param>
/// <param name="Source">The file that holds it.</param>
/// <param name="Tokens">The special tokens by the names under which a template sees them.</param>
sealed record TemplateFile(string? Text, string Source, IReadOnlyDictionary<string, string> Tokens)
{
    static readonly string[] Names = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

    /// <summary>
    /// Reads <c>chat_template.jinja</c>, else <c>chat_template</c> of <c>tokenizer_config.json</c> (a string, or a list of named ones of which "default" is taken). Special tokens are those of
    /// <c>tokenizer_config.json</c>.
    /// </summary>
    public static TemplateFile Read(string folder)
    {
        string file = Path.Combine(folder, "chat_template.jinja"), configFile = Path.Combine(folder, "tokenizer_config.json");
        JsonElement config = ReadJson(configFile);
        bool own = File.Exists(file);
        return new TemplateFile(own ? File.ReadAllText(file) : FromConfig(config, configFile), own ? file : configFile, SpecialTokens(config));
    }

    /// <summary>The template's text; a folder without one is refused.</summary>
    public string Needed(string folder)
        => Text ?? throw new DiffractException(
            $"{folder} has no chat template, but chats are to be read; wanted chat_template.jinja or chat_template in tokenizer_config.json; give --chat-format plain, text alone, or a chat model with a template");

    /// <summary>As <see cref="Read"/>, with what <c>special_tokens_map.json</c> adds, as transformers reads a tokenizer.</summary>
    public static TemplateFile ReadAsTransformers(string folder)
    {
        TemplateFile read = Read(folder);
        Dictionary<string, string> tokens = SpecialTokens(ReadJson(Path.Combine(folder, "special_tokens_map.json")));
        foreach ((string name, string token) in read.Tokens)
        {
            tokens[name] = token;
        }

        return read with { Tokens = tokens };
    }

    /// <summary>Texts of the added tokens that <c>tokenizer_config.json</c> lists; none where it lists none.</summary>
    public static HashSet<string> AddedTokens(string folder)
    {
        JsonElement config = ReadJson(Path.Combine(folder, "tokenizer_config.json"));
        return config.ValueKind == JsonValueKind.Object && config.TryGetProperty("added_tokens_decoder", out JsonElement added) && added.ValueKind == JsonValueKind.Object
            ? [.. added.EnumerateObject().Select(a => TextOf(a.Value, "content")).OfType<string>().Where(t => !string.IsNullOrWhiteSpace(t))]
            : [];
    }

    static Dictionary<string, string> SpecialTokens(JsonElement config)
    {
        Dictionary<string, string> tokens = [];
        foreach (string name in Names)
        {
            if (config.ValueKind == JsonValueKind.Object && config.TryGetProperty(name, out JsonElement token)
                && (token.ValueKind == JsonValueKind.String ? token.GetString() : TextOf(token, "content")) is { } text)
            {
                tokens[name] = text;
            }
        }

        return tokens;
    }

    /// <summary>An object, or nothing where the file is missing.</summary>
    static JsonElement ReadJson(string file)
    {
        if (!File.Exists(file))
        {
            return default;
        }

        using JsonDocument document = JsonFile.ReadObject(file, "a tokenizer's configuration");
        return document.RootElement.Clone();
    }

    static string? FromConfig(JsonElement config, string file)
    {
        if (config.ValueKind != JsonValueKind.Object || !config.TryGetProperty("chat_template", out JsonElement template))
        {
            return null;
        }

        if (template.ValueKind == JsonValueKind.String)
        {
            return template.GetString();
        }

        if (template.ValueKind != JsonValueKind.Array)
        {
            return null;
        }

        List<string> names = [];
        foreach (JsonElement named in template.EnumerateArray())
        {
            string name = TextOf(named, "name") ?? "";
            names.Add(name);
            if (name == "default" && TextOf(named, "template") is { } text)
            {
                return text;
            }
        }

        throw new DiffractException($"{file} lists the chat templates {string.Join(", ", names)}, wanted one named default; put the right one into chat_template.jinja");
    }

    static string? TextOf(JsonElement element, string property)
        => element.ValueKind == JsonValueKind.Object && element.TryGetProperty(property, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}

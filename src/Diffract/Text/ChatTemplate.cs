using System.Text;
using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Text;

/// <summary>
/// A model's chat template. Known is the turn format of Gemma: <c>&lt;bos&gt;</c>, then a turn <c>&lt;start_of_turn&gt;role\ncontent&lt;end_of_turn&gt;\n</c> with the content trimmed and the assistant called
/// <c>model</c>; roles alternate from the user on. It is chosen when the template's text is, white space aside, one of the two texts that are known to mean it; another template is refused.
/// </summary>
public sealed class ChatTemplate
{
    // The published template of Gemma 2, and the same without its message about system turns (which the check of the roles refuses as well). White space is taken out of both sides before they are compared.
    const string Body =
        "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        + "{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
        + "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";

    const string System = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}";

    static readonly HashSet<string> Known =
    [
        Squeeze("{{ bos_token }}" + Body),
        Squeeze("{{ bos_token }}" + System + Body.Replace("if message['role'] == 'assistant'", "if (message['role'] == 'assistant')", StringComparison.Ordinal)),
    ];

    readonly string _bos;

    ChatTemplate(string bos) => _bos = bos;

    /// <summary>
    /// The template of a checkpoint: <c>chat_template.jinja</c>, else <c>chat_template</c> of <c>tokenizer_config.json</c> (a string, or a list of named ones of which "default" is taken).
    /// </summary>
    /// <param name="folder">Checkpoint folder.</param>
    /// <param name="bosToken">Text of the BOS token where <c>tokenizer_config.json</c> names none.</param>
    public static ChatTemplate Load(string folder, string? bosToken = null)
    {
        (string text, string source, JsonElement config) = Source(folder);
        if (!Known.Contains(Squeeze(text)))
        {
            throw new DiffractException(
                $"{source} is a chat template that is not known, it begins {Beginning(text)}; known is the turn format of Gemma 2 (there is no template interpreter); use a Gemma 2 chat model, or give text alone");
        }

        return new ChatTemplate(SpecialToken(config, "bos_token") ?? bosToken ?? "");
    }

    /// <summary>The template's text as it stands, the file that holds it, and <c>tokenizer_config.json</c> where there is one.</summary>
    internal static (string Text, string Source, JsonElement Config) Source(string folder)
    {
        string file = Path.Combine(folder, "chat_template.jinja"), configFile = Path.Combine(folder, "tokenizer_config.json");
        JsonElement config = File.Exists(configFile) ? ReadConfig(configFile) : default;
        string source = File.Exists(file) ? file : configFile;
        string? text = File.Exists(file) ? File.ReadAllText(file) : FromConfig(config, configFile);
        return (text ?? throw new DiffractException($"{folder} has no chat template, but chats are to be read; wanted chat_template.jinja or chat_template in tokenizer_config.json; give text alone, or a chat model with a template"), source, config);
    }

    /// <summary>Why these turns cannot be rendered, or null when they can: roles user and assistant must alternate, the user first.</summary>
    public static string? Fault(IReadOnlyList<Turn> turns)
    {
        if (turns.Count == 0)
        {
            return "has no turns";
        }

        for (int i = 0; i < turns.Count; i++)
        {
            string wanted = i % 2 == 0 ? "user" : "assistant";
            if (turns[i].Role != wanted)
            {
                return turns[i].Role == "system" ? $"has a system turn ({i}), which its template has none for" : $"has the role {turns[i].Role} in turn {i}, wanted {wanted}: roles must alternate";
            }
        }

        return null;
    }

    /// <summary>The chat as text with its spans; throws when <see cref="Fault"/> finds one.</summary>
    public RenderedChat Render(IReadOnlyList<Turn> turns, bool addGenerationPrompt = false)
    {
        if (Fault(turns) is { } fault)
        {
            throw new DiffractException($"the chat {fault}");
        }

        StringBuilder text = new();
        List<TextSpan> spans = [];
        int at = 0;
        Append(_bos);
        for (int i = 0; i < turns.Count; i++)
        {
            bool answer = turns[i].Role == "assistant";
            int header = at;
            Append("<start_of_turn>" + (answer ? "model" : turns[i].Role) + "\n");
            spans.Add(new TextSpan(header, at, SpanPart.Template, i));
            int content = at;
            Append(Trim(turns[i].Content));
            int end = at;
            Append("<end_of_turn>");
            spans.Add(new TextSpan(content, answer ? at : end, answer ? SpanPart.Assistant : SpanPart.User, i));
            Append("\n");
            spans.Add(new TextSpan(end, at, SpanPart.Template, i));
        }

        if (addGenerationPrompt)
        {
            int header = at;
            Append("<start_of_turn>model\n");
            spans.Add(new TextSpan(header, at, SpanPart.Template, turns.Count));
        }

        return new RenderedChat(text.ToString(), spans);

        void Append(string piece)
        {
            text.Append(piece);
            at += CodePoints(piece);
        }
    }

    /// <summary>Python's <c>strip()</c>: Unicode white space and the separators U+001C to U+001F.</summary>
    static string Trim(string content)
    {
        int start = 0, end = content.Length;
        while (start < end && IsSpace(content[start]))
        {
            start++;
        }

        while (end > start && IsSpace(content[end - 1]))
        {
            end--;
        }

        return content[start..end];
    }

    static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001c' and <= '\u001f';

    // A lone surrogate counts as one code point, as EnumerateRunes reads it.
    static int CodePoints(string text)
    {
        int count = text.Length;
        for (int i = 1; i < text.Length; i++)
        {
            if (char.IsSurrogatePair(text[i - 1], text[i]))
            {
                count--;
            }
        }

        return count;
    }

    static JsonElement ReadConfig(string file)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
            return document.RootElement.ValueKind == JsonValueKind.Object ? document.RootElement.Clone() : throw new DiffractException($"{file} is not a JSON object; fetch it again");
        }
        catch (JsonException e)
        {
            throw new DiffractException($"{file} is not JSON ({e.Message}); fetch it again", inner: e);
        }
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
            string name = Text(named, "name") ?? "";
            names.Add(name);
            if (name == "default" && Text(named, "template") is { } text)
            {
                return text;
            }
        }

        throw new DiffractException($"{file} lists the chat templates {string.Join(", ", names)}, wanted one named default; put the right one into chat_template.jinja");
    }

    internal static string? SpecialToken(JsonElement config, string name)
        => config.ValueKind != JsonValueKind.Object || !config.TryGetProperty(name, out JsonElement token) ? null
            : token.ValueKind == JsonValueKind.String ? token.GetString()
            : Text(token, "content");

    static string? Text(JsonElement element, string property)
        => element.ValueKind == JsonValueKind.Object && element.TryGetProperty(property, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    // "\n" written out inside a template's string counts as white space as well.
    static string Squeeze(string text) => string.Concat(text.Replace("\\n", "\n", StringComparison.Ordinal).Where(c => !char.IsWhiteSpace(c)));

    static string Beginning(string text)
    {
        string line = string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        return '"' + (line.Length <= 60 ? line : line[..60] + "…") + '"';
    }
}

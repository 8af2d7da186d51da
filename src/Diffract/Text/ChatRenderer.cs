using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Diffract.Formats.Jinja;
using Diffract.Runs;

namespace Diffract.Text;

/// <summary>The loose form of <c>render</c>: chats through the template of a folder, as plain jinja2 renders it.</summary>
public static class ChatRenderer
{
    static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>
    /// Renders every line of <paramref name="chats"/> and writes a line <c>{"text", "generation"}</c> or <c>{"error"}</c> for each. A template sees <c>messages</c>, the line's other keys,
    /// <c>add_generation_prompt</c> and the special tokens that <c>tokenizer_config.json</c> names; the line's own keys win.
    /// </summary>
    /// <param name="folder">Folder with <c>chat_template.jinja</c> or <c>tokenizer_config.json</c>.</param>
    /// <param name="chats">Rows of any format: <c>messages</c> or <c>turns</c> are given to the template as they are, turns of another shape as role and content.</param>
    /// <param name="output">File to write.</param>
    /// <param name="addGenerationPrompt">What the template sees under this name where a line does not say.</param>
    /// <param name="now">What <c>strftime_now</c> prints.</param>
    /// <param name="columns">Which column holds the turns; null: those of the defaults.</param>
    /// <param name="stop">Stops between two lines.</param>
    /// <returns>Lines, and how many of them are errors.</returns>
    /// <exception cref="DiffractException">There is no template, or a line is not a chat.</exception>
    public static (int Lines, int Errors) RenderFile(string folder, string chats, string output, bool addGenerationPrompt, DateTime now, TextColumns? columns = null, CancellationToken stop = default)
    {
        if (!Directory.Exists(folder))
        {
            throw DiffractException.Argument($"{folder} does not exist; wanted a folder with chat_template.jinja or tokenizer_config.json");
        }

        TemplateFile file = TemplateFile.Read(folder);
        string source = file.Needed(folder);
        Dictionary<string, object?> tokens = new() { ["add_generation_prompt"] = addGenerationPrompt };
        foreach ((string name, string token) in file.Tokens)
        {
            tokens[name] = token;
        }

        JinjaTemplate? template = null;
        JinjaException? fault = null;
        try
        {
            template = JinjaTemplate.Parse(source);
        }
        catch (JinjaException e)
        {
            fault = e;
        }

        int lines = 0, errors = 0;
        IEnumerable<(string Text, int Number)> read = TextRows.Json(chats);
        AtomicFile.Write(output, stream =>
        {
            using StreamWriter writer = new(stream, new UTF8Encoding(false), 1 << 16, leaveOpen: true);
            foreach ((string text, int line) in read)
            {
                stop.ThrowIfCancellationRequested();
                (string made, bool failed) = Line(template, fault, Variables(text, chats, line, columns ?? new TextColumns(), tokens), now);
                writer.Write(made + "\n");
                lines++;
                errors += failed ? 1 : 0;
            }
        });
        return (lines, errors);
    }

    static (string Text, bool Failed) Line(JinjaTemplate? template, JinjaException? fault, Dictionary<string, object?> variables, DateTime now)
    {
        try
        {
            JinjaOutput made = template is null ? throw fault! : template.Render(variables, now);
            return ($"{{\"text\": {Quoted(made.Text)}, \"generation\": [{string.Join(", ", made.Generation.Select(g => $"[{g.Start}, {g.End}]"))}]}}", false);
        }
        catch (JinjaException e)
        {
            return ($"{{\"error\": {Quoted(e.Text)}}}", true);
        }
    }

    static string Quoted(string text) => JsonSerializer.Serialize(text, Readable);

    static Dictionary<string, object?> Variables(string text, string file, int line, TextColumns columns, Dictionary<string, object?> tokens)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            JsonElement chat = document.RootElement;
            JsonElement messages = default;
            bool asItIs = columns.Chats is null && chat.ValueKind == JsonValueKind.Object && (chat.TryGetProperty("messages", out messages) || chat.TryGetProperty("turns", out messages));
            if (asItIs && messages.ValueKind != JsonValueKind.Array)
            {
                throw new DiffractException($"{file} line {line} has no list of messages; wanted {{\"messages\": [{{\"role\": …, \"content\": …}}, …]}} or the same as turns");
            }

            Dictionary<string, object?> variables = new(tokens);
            object? made = asItIs ? JinjaValues.FromJson(messages) : ChatMessages.Of(TextRows.OfJson(text, file, line, columns, TextKind.Chats).Turns!);
            foreach (JsonProperty property in chat.EnumerateObject().Where(p => p.Name != "turns"))
            {
                variables[property.Name] = JinjaValues.FromJson(property.Value);
            }

            variables["messages"] = made;
            return variables;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or JinjaException)
        {
            throw new DiffractException($"{file} line {line} is not JSON ({e.Message}); wanted one JSON object a line with messages or turns", inner: e);
        }
    }
}

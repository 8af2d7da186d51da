using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Text;

/// <summary>
/// Reads documents and chats from JSON lines, plain or gzip (told by the first bytes, not by the name):
/// <c>{"id"?, "text", "label"?}</c> or <c>{"id"?, "turns": [{"role", "content"}], "label"?}</c>. Every error names file and line.
/// </summary>
public static class JsonLines
{
    /// <summary>The file's items in order, read as they are asked for. What a line holds is checked; whether its roles alternate is the template's business.</summary>
    public static IEnumerable<TextItem> Read(string file) => Lines(file).Select(l => Parse(l.Text, file, l.Line));

    /// <summary>The file's lines as they stand, with their numbers from 1.</summary>
    public static IEnumerable<(string Text, int Line)> Lines(string file)
    {
        if (!File.Exists(file))
        {
            throw DiffractException.Argument($"{file} does not exist; wanted a file of JSON lines, plain or .gz");
        }

        return ReadLines(file);
    }

    static IEnumerable<(string Text, int Line)> ReadLines(string file)
    {
        using Stream raw = Open(file);
        using StreamReader reader = new(raw, new UTF8Encoding(false, throwOnInvalidBytes: true));
        for (int line = 1; Next(reader, file, line) is { } text; line++)
        {
            yield return (text, line);
        }
    }

    static Stream Open(string file)
    {
        FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
        bool zipped = stream.ReadByte() == 0x1f && stream.ReadByte() == 0x8b;
        stream.Position = 0;
        return zipped ? new GZipStream(stream, CompressionMode.Decompress) : stream;
    }

    static string? Next(StreamReader reader, string file, int line)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (DecoderFallbackException)
        {
            throw Bad(file, line, "is not UTF-8", "save the file as UTF-8");
        }
        catch (InvalidDataException e)
        {
            throw Bad(file, line, $"cannot be unpacked ({e.Message})", "the .gz file is damaged or truncated; fetch it again");
        }
    }

    /// <summary>The item of one line.</summary>
    public static TextItem Parse(string text, string file, int line)
    {
        if (string.IsNullOrWhiteSpace(text))
        {
            throw Bad(file, line, "is empty", "remove it; an empty document is {\"text\": \"\"}");
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return Item(document.RootElement, file, line);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw Bad(file, line, $"is not JSON ({e.Message})", "wanted one JSON object a line with text or turns");
        }
    }

    static TextItem Item(JsonElement item, string file, int line)
    {
        if (item.ValueKind != JsonValueKind.Object)
        {
            throw Bad(file, line, $"is a JSON {item.ValueKind.ToString().ToLowerInvariant()}", "wanted an object with text or turns");
        }

        string id = item.TryGetProperty("id", out JsonElement idElement) && idElement.ValueKind is JsonValueKind.String or JsonValueKind.Number
            ? idElement.ToString()
            : $"{Path.GetFileName(file)}:{line}";
        bool hasTurns = Has(item, "turns", out JsonElement turns), hasText = Has(item, "text", out JsonElement text);
        if (hasTurns && !hasText)
        {
            return new TextItem(id, null, Turns(turns, file, line), Labels(item, file, line), file, line);
        }

        if (!hasText || hasTurns)
        {
            throw Bad(file, line, hasText ? "has both text and turns" : "has neither text nor turns", "wanted one of them");
        }

        return text.ValueKind == JsonValueKind.String
            ? new TextItem(id, text.GetString(), null, Labels(item, file, line), file, line)
            : throw Bad(file, line, $"has a text that is a JSON {text.ValueKind.ToString().ToLowerInvariant()}", "wanted a string");
    }

    /// <summary>Whether the line has the key; tables written as JSON lines have null where a column is empty.</summary>
    static bool Has(JsonElement item, string key, out JsonElement value) => item.TryGetProperty(key, out value) && value.ValueKind != JsonValueKind.Null;

    static Turn[] Turns(JsonElement turns, string file, int line)
    {
        if (turns.ValueKind != JsonValueKind.Array)
        {
            throw Bad(file, line, "has turns that are not a list", "wanted [{\"role\": …, \"content\": …}, …]");
        }

        return [.. turns.EnumerateArray().Select((turn, i) =>
            turn.ValueKind == JsonValueKind.Object
            && turn.TryGetProperty("role", out JsonElement role) && role.ValueKind == JsonValueKind.String
            && turn.TryGetProperty("content", out JsonElement content) && content.ValueKind == JsonValueKind.String
                ? new Turn(role.GetString()!, content.GetString()!) { Reasoning = Reasoning(turn) }
                : throw Bad(file, line, $"has a malformed turn {i}", "wanted {\"role\": \"user\" or \"assistant\", \"content\": \"…\"}"))];
    }

    // The names that transformers takes for each other.
    static string? Reasoning(JsonElement turn)
    {
        foreach (string name in (string[])["reasoning_content", "thinking", "reasoning"])
        {
            if (turn.TryGetProperty(name, out JsonElement text) && text.ValueKind == JsonValueKind.String)
            {
                return text.GetString();
            }
        }

        return null;
    }

    static string[] Labels(JsonElement item, string file, int line)
    {
        if (!Has(item, "label", out JsonElement label))
        {
            return [];
        }

        return label.ValueKind == JsonValueKind.Array ? [.. label.EnumerateArray().Select(Label)] : [Label(label)];

        // Classes are often numbered.
        string Label(JsonElement one) => one.ValueKind is JsonValueKind.String or JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False
            ? one.ToString()
            : throw Bad(file, line, "has a label that is neither a string nor a number nor a list of them", "mend or remove it");
    }

    static DiffractException Bad(string file, int line, string what, string wanted) => new($"{file} line {line} {what}; {wanted}");
}

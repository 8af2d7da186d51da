using System.Text;
using System.Text.Json;
using Diffract.Formats.Rows;

namespace Diffract.Text;

/// <summary>
/// The shapes in which chats are published: a list of turns with <c>role</c> and <c>content</c>, with <c>from</c> and <c>value</c>, or of texts that take turns beginning with the user's; a content may be a list of
/// parts of the type text. Lists may stand in a column as JSON texts.
/// </summary>
static class ChatShapes
{
    public static readonly string[] RoleNames = ["role", "from"];

    public static readonly string[] ContentNames = ["content", "value", "text"];

    // The names that transformers takes for each other.
    public static readonly string[] ReasoningNames = ["reasoning_content", "thinking", "reasoning"];

    // As the collections of shared chats write them.
    static readonly Dictionary<string, string> Roles = new(StringComparer.OrdinalIgnoreCase)
    {
        ["user"] = "user",
        ["human"] = "user",
        ["prompter"] = "user",
        ["assistant"] = "assistant",
        ["gpt"] = "assistant",
        ["chatgpt"] = "assistant",
        ["bard"] = "assistant",
        ["bing"] = "assistant",
        ["bot"] = "assistant",
        ["model"] = "assistant",
        ["system"] = "system",
    };

    /// <summary>The turns of a column's value, or null with the reason in words that follow the row's place.</summary>
    public static Turn[]? Turns(object? value, string column, out string? fault)
    {
        if (value is string text && List(text) is { } parsed)
        {
            value = parsed;
        }

        if (value is not IReadOnlyList<object?> list)
        {
            fault = value is null ? $"has no {column}" : $"has {column} that are not a list, wanted [{{\"role\": …, \"content\": …}}, …]";
            return null;
        }

        Turn[] turns = new Turn[list.Count];
        for (int i = 0; i < turns.Length; i++)
        {
            (Turn? turn, fault) = list[i] is string said ? (new Turn(i % 2 == 0 ? "user" : "assistant", said), null) : One(list[i], i);
            if (turn is null)
            {
                return null;
            }

            turns[i] = turn;
        }

        fault = null;
        return turns;
    }

    /// <summary>The turns of a question and an answer in columns of their own, each a text or a list of turns.</summary>
    public static Turn[]? Pair(object? system, object? prompt, object? response, out string? fault)
    {
        Turn[]? asked = Side(prompt, "user", TextColumns.Prompt, out fault);
        Turn[]? answered = asked is null ? null : Side(response, "assistant", TextColumns.Response, out fault);
        return answered is null ? null : system is string { Length: > 0 } said ? [new Turn("system", said), .. asked!, .. answered] : [.. asked!, .. answered];
    }

    static Turn[]? Side(object? value, string role, string column, out string? fault)
    {
        if (value is string text)
        {
            fault = null;
            return [new Turn(role, text)];
        }

        return Turns(value, column, out fault);
    }

    static (Turn? Turn, string? Fault) One(object? value, int number)
    {
        if (value is not IReadOnlyDictionary<string, object?> turn || Named(turn, RoleNames) is not string role)
        {
            return (null, $"has a malformed turn {number}, wanted {{\"role\": \"user\" or \"assistant\", \"content\": \"…\"}}");
        }

        object? content = Named(turn, ContentNames);
        string? said = content as string ?? (content is IReadOnlyList<object?> parts ? Parts(parts) : null);
        return said is null
            ? (null, content is null ? $"has a malformed turn {number} without content" : $"has a malformed turn {number} whose content is not text")
            : (new Turn(Roles.GetValueOrDefault(role, role), said) { Reasoning = Named(turn, ReasoningNames) as string }, null);
    }

    /// <summary>The texts of a content's parts, or null where one is something else.</summary>
    static string? Parts(IReadOnlyList<object?> parts)
    {
        StringBuilder all = new();
        foreach (object? part in parts)
        {
            string? text = part as string ?? (part is IReadOnlyDictionary<string, object?> p && p.GetValueOrDefault("type") is null or "text" ? (part as IReadOnlyDictionary<string, object?>)?.GetValueOrDefault("text") as string : null);
            if (text is null)
            {
                return null;
            }

            _ = all.Append(text);
        }

        return all.ToString();
    }

    static object? Named(IReadOnlyDictionary<string, object?> turn, string[] names)
    {
        foreach (string name in names)
        {
            if (turn.TryGetValue(name, out object? value) && value is not null)
            {
                return value;
            }
        }

        return null;
    }

    /// <summary>The list that a text is in JSON, or null.</summary>
    public static object? List(string text)
    {
        if (!text.AsSpan().TrimStart().StartsWith("["))
        {
            return null;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return JsonValue.Of(document.RootElement);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}

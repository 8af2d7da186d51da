using System.Text.Json;

namespace Diffract.Formats.Rows;

/// <summary>JSON values as values of a row.</summary>
public static class JsonValue
{
    /// <exception cref="InvalidOperationException">A text has half a surrogate pair.</exception>
    public static object? Of(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString(),
        JsonValueKind.Number => new RowNumber(value.GetRawText()),
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Array => value.EnumerateArray().Select(Of).ToArray(),
        JsonValueKind.Object => Members(value),
        _ => null,
    };

    /// <summary>Writes a value of a row.</summary>
    public static void Write(Utf8JsonWriter writer, object? value)
    {
        switch (value)
        {
            case null:
                writer.WriteNullValue();
                break;
            case string text:
                writer.WriteStringValue(text);
                break;
            case bool truth:
                writer.WriteBooleanValue(truth);
                break;
            case IReadOnlyList<object?> list:
                writer.WriteStartArray();
                foreach (object? item in list)
                {
                    Write(writer, item);
                }

                writer.WriteEndArray();
                break;
            case IReadOnlyDictionary<string, object?> members:
                writer.WriteStartObject();
                foreach ((string name, object? member) in members)
                {
                    writer.WritePropertyName(name);
                    Write(writer, member);
                }

                writer.WriteEndObject();
                break;
            default:
                Number(writer, value.ToString()!);
                break;
        }
    }

    // What a table may hold and JSON has no number for.
    static void Number(Utf8JsonWriter writer, string text)
    {
        if (text is "NaN" or "Infinity" or "-Infinity")
        {
            writer.WriteNullValue();
            return;
        }

        writer.WriteRawValue(text);
    }

    static Dictionary<string, object?> Members(JsonElement value)
    {
        Dictionary<string, object?> members = [];
        foreach (JsonProperty member in value.EnumerateObject())
        {
            members[member.Name] = Of(member.Value);
        }

        return members;
    }
}

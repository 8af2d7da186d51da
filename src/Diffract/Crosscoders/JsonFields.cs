using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>A published configuration, read so that a field of the wrong kind is an error that names it. A field that is missing or null is null.</summary>
/// <param name="path">Where it stands, for messages.</param>
/// <param name="fields">The fields.</param>
public sealed class JsonFields(string path, JsonObject fields)
{
    public string FilePath => path;

    public bool Has(string name) => fields[name] is not null;

    public string? Text(string name) => Value(name) is not { } value ? null : value.TryGetValue(out string? text) ? text : throw Wrong(name, "a text");

    public bool? Flag(string name) => Value(name) is not { } value ? null : value.TryGetValue(out bool flag) ? flag : throw Wrong(name, "true or false");

    public double? Number(string name) => Value(name) is not { } value ? null : value.TryGetValue(out double number) && double.IsFinite(number) ? number : throw Wrong(name, "a number");

    public int? Integer(string name) => Value(name) is not { } value ? null : value.TryGetValue(out int number) ? number : throw Wrong(name, "a whole number");

    public int[]? Integers(string name)
        => fields[name] switch
        {
            null => null,
            JsonArray list when list.All(i => i is JsonValue value && value.TryGetValue(out int _)) => [.. list.Select(i => i!.GetValue<int>())],
            _ => throw Wrong(name, "a list of whole numbers"),
        };

    /// <summary>A part with fields of its own.</summary>
    public JsonFields? Part(string name) => fields[name] switch
    {
        null => null,
        JsonObject part => new JsonFields(path, part),
        _ => throw Wrong(name, "an object"),
    };

    /// <summary>The field as it is written.</summary>
    public string Written(string name) => fields[name]?.ToJsonString() ?? "null";

    JsonValue? Value(string name) => fields[name] switch
    {
        null => null,
        JsonValue value when value.GetValueKind() != JsonValueKind.Null => value,
        _ => throw Wrong(name, "one value"),
    };

    DiffractException Wrong(string name, string wanted)
    {
        string got = Written(name);
        return new DiffractException($"{path}: {name} is {(got.Length > 60 ? got[..60] + "…" : got)}, wanted {wanted}");
    }
}

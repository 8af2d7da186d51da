using System.Globalization;
using System.Text.Json;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Llms;

/// <summary>config.json, read field by field; what does not fit is refused with the file and the field named. A null value counts as absent unless said otherwise.</summary>
sealed class ConfigJson : IDisposable
{
    /// <summary>More tokens, positions or elements of a row than any model has.</summary>
    const int LargestCount = 1 << 24;

    readonly JsonDocument? _document;
    readonly JsonElement _root;
    readonly string _prefix;
    readonly List<string> _asked = [];

    ConfigJson(string path, JsonElement root, string prefix, JsonDocument? document = null)
    {
        (Path, _root, _prefix, _document) = (path, root, prefix, document);
    }

    public string Path { get; }

    /// <summary>Keys that were asked for, in the order of asking.</summary>
    public IReadOnlyList<string> Asked => _asked;

    /// <summary>A configuration in which every key is absent.</summary>
    public static ConfigJson Empty()
    {
        JsonDocument document = JsonDocument.Parse("{}");
        return new ConfigJson("", document.RootElement, "", document);
    }

    public static ConfigJson Open(string path)
    {
        JsonDocument document = JsonFile.ReadObject(path, "a model's configuration");
        return new ConfigJson(path, document.RootElement, "", document);
    }

    public DiffractException Refuse(string field, string got, string wanted) => new($"{Path}: {_prefix}{field} is {got}, wanted {wanted}");

    /// <summary>Whether the key is there, null included.</summary>
    public bool Present(string field)
    {
        Note(field);
        return _root.TryGetProperty(field, out _);
    }

    /// <summary>The value as it stands in the file, if the key is there and not null, false, 0 or a neutral text; the key does not count as asked for.</summary>
    public string? Switched(string field, string? neutral = null)
    {
        if (!_root.TryGetProperty(field, out JsonElement e) || e.ValueKind is JsonValueKind.Null or JsonValueKind.False)
        {
            return null;
        }

        bool off = e.ValueKind == JsonValueKind.Number && e.TryGetDouble(out double x) && (x == 0 || (neutral == "1" && x == 1));
        return off || e.GetRawText() == neutral ? null : OneLine(e);
    }

    /// <summary>Whether the key is there and not null.</summary>
    public bool Has(string field) => Find(field) is not null;

    public string? Text(string field) => Find(field) is not { } e ? null
        : e.ValueKind == JsonValueKind.String ? e.GetString() : throw Refuse(field, OneLine(e), "a text");

    public bool? Flag(string field) => Find(field) is not { } e ? null
        : e.ValueKind is JsonValueKind.True or JsonValueKind.False ? e.GetBoolean() : throw Refuse(field, OneLine(e), "true or false");

    /// <summary>A positive integer, of a size that products of two do not overflow a 64-bit number.</summary>
    public int Count(string field, int absent, int most = LargestCount) => Find(field) is not { } e ? absent
        : e.ValueKind != JsonValueKind.Number || !e.TryGetInt64(out long n) || n <= 0 ? throw Refuse(field, OneLine(e), "a positive integer")
        : n <= most ? (int)n : throw Refuse(field, OneLine(e), $"at most {most}");

    /// <summary>An integer of at least 0.</summary>
    public int Natural(string field, int absent) => Find(field) is not { } e ? absent
        : e.ValueKind == JsonValueKind.Number && e.TryGetInt32(out int n) && n >= 0 ? n : throw Refuse(field, OneLine(e), "an integer of at least 0");

    /// <summary>A positive integer; 0 where the value is null.</summary>
    public int CountOrNone(string field, int absent) => Present(field) ? Count(field, 0) : absent;

    public double Positive(string field, double absent) => Find(field) is not { } e ? absent
        : e.ValueKind == JsonValueKind.Number && e.TryGetDouble(out double x) && x > 0 && double.IsFinite(x) ? x : throw Refuse(field, OneLine(e), "a positive number");

    /// <summary>A positive number; null means none: 0.</summary>
    public float Cap(string field, float absent) => Present(field) ? (float)Positive(field, 0) : absent;

    /// <summary>Token ids: a number, a list, or none where the value is null.</summary>
    public IReadOnlyList<int> Ids(string field)
    {
        if (Find(field) is not { } e)
        {
            return [];
        }

        JsonElement[] items = e.ValueKind == JsonValueKind.Array ? [.. e.EnumerateArray()] : [e];
        return [.. items.Select(i => i.ValueKind == JsonValueKind.Number && i.TryGetInt32(out int id) && id >= 0
            ? id
            : throw Refuse(field, OneLine(e), "a token id or a list of them"))];
    }

    /// <summary>A list of positive numbers, or null.</summary>
    public IReadOnlyList<double>? Positives(string field)
    {
        if (Find(field) is not { } e)
        {
            return null;
        }

        JsonElement[] items = e.ValueKind == JsonValueKind.Array ? [.. e.EnumerateArray()] : [];
        return items.Length > 0 && items.All(i => i.ValueKind == JsonValueKind.Number && i.TryGetDouble(out double x) && x > 0 && double.IsFinite(x))
            ? [.. items.Select(i => i.GetDouble())]
            : throw Refuse(field, OneLine(e), "a list of positive numbers");
    }

    public IReadOnlyList<string>? Texts(string field)
    {
        if (Find(field) is not { } e)
        {
            return null;
        }

        return e.ValueKind == JsonValueKind.Array && e.EnumerateArray().All(i => i.ValueKind == JsonValueKind.String)
            ? [.. e.EnumerateArray().Select(i => i.GetString()!)]
            : throw Refuse(field, OneLine(e), "a list of texts");
    }

    /// <summary>The object under a key, or null.</summary>
    public ConfigJson? Inner(string field) => Find(field) is not { } e ? null
        : e.ValueKind == JsonValueKind.Object
            ? new ConfigJson(Path, e, string.Create(CultureInfo.InvariantCulture, $"{_prefix}{field}."))
            : throw Refuse(field, OneLine(e), "an object");

    /// <summary>The first key whose value is an object, or null.</summary>
    public string? FirstInner()
    {
        foreach (JsonProperty property in _root.EnumerateObject())
        {
            if (property.Value.ValueKind == JsonValueKind.Object)
            {
                return property.Name;
            }
        }

        return null;
    }

    public void Dispose() => _document?.Dispose();

    /// <summary>A value for a message: on one line, and not at length.</summary>
    static string OneLine(JsonElement e)
    {
        string text = string.Join(' ', e.GetRawText().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        return text.Length <= 80 ? text : text[..80] + "…";
    }

    void Note(string field)
    {
        if (!_asked.Contains(field))
        {
            _asked.Add(field);
        }
    }

    JsonElement? Find(string field)
    {
        Note(field);
        return Value(field);
    }

    JsonElement? Value(string field) => _root.TryGetProperty(field, out JsonElement e) && e.ValueKind != JsonValueKind.Null ? e : null;
}

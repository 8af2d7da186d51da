using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Diffract.Reports;

/// <summary>Values of a manifest's settings and facts; a missing one is NaN or null, never an error: other versions of a stage may not have written it.</summary>
static class ManifestValues
{
    public static double Number(this JsonObject from, string key) => AsNumber(from[key]);

    public static IReadOnlyList<double> Numbers(this JsonObject from, string key) => from[key] is JsonArray array ? [.. array.Select(AsNumber)] : [];

    public static long? Integer(this JsonObject from, string key)
    {
        double value = from.Number(key);
        return double.IsFinite(value) && value == Math.Floor(value) ? (long)value : null;
    }

    /// <summary>Any value as text: strings without quotes, numbers as written.</summary>
    public static string? Text(this JsonObject from, string key)
        => from[key] is JsonValue value ? value.GetValueKind() == JsonValueKind.String ? value.GetValue<string>() : value.ToJsonString() : null;

    static double AsNumber(JsonNode? node)
        => node is not JsonValue value ? double.NaN : value.GetValueKind() switch
        {
            JsonValueKind.Number => double.Parse(value.ToJsonString(), CultureInfo.InvariantCulture),
            JsonValueKind.String when double.TryParse(value.GetValue<string>(), NumberStyles.Float, CultureInfo.InvariantCulture, out double named) => named,
            _ => double.NaN,
        };
}

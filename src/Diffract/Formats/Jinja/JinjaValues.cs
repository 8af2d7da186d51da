using System.Globalization;
using System.Numerics;
using System.Text.Json;

namespace Diffract.Formats.Jinja;

/// <summary>JSON as the values that a template sees.</summary>
public static class JinjaValues
{
    /// <summary>The value of a JSON element: integers of any size that Python reads, objects in their order.</summary>
    /// <exception cref="JinjaException">An integer has more digits than Python reads.</exception>
    public static object? FromJson(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                PyDict dict = new();
                foreach (JsonProperty property in element.EnumerateObject())
                {
                    dict.Set(property.Name, FromJson(property.Value));
                }

                return dict;
            case JsonValueKind.Array:
                return new PyList([.. element.EnumerateArray().Select(FromJson)]);
            case JsonValueKind.String:
                return element.GetString();
            case JsonValueKind.Number:
                string text = element.GetRawText();
                return text.AsSpan().IndexOfAny('.', 'e', 'E') >= 0 ? double.Parse(text, CultureInfo.InvariantCulture)
                    : text.Length > Numbers.MaxDigits ? throw JinjaException.Value($"Exceeds the limit ({Numbers.MaxDigits} digits) for integer string conversion")
                    : BigInteger.Parse(text, CultureInfo.InvariantCulture);
            default:
                return element.ValueKind == JsonValueKind.Null ? null : element.ValueKind == JsonValueKind.True;
        }
    }
}

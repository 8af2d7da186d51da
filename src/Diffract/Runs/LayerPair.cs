using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Diffract.Runs;

/// <summary>
/// The block after which each model of a pair is read, counted from 0. Written <c>13</c> where both are read after the same one, else <c>13:12</c>, base then chat; the folder is then called <c>13-12</c>. In
/// JSON a number or that text.
/// </summary>
/// <param name="Base">Of model 0.</param>
/// <param name="Chat">Of model 1.</param>
[JsonConverter(typeof(Converter))]
public readonly record struct LayerPair(int Base, int Chat) : IComparable<LayerPair>
{
    /// <summary>Whether both are read after the block of the same number.</summary>
    public bool IsSame => Base == Chat;

    /// <summary>Under <c>activations/</c>.</summary>
    public string FolderName => ToString().Replace(':', '-');

    /// <summary>The block of a model.</summary>
    public int this[int model] => model == 0 ? Base : Chat;

    public static implicit operator LayerPair(int layer) => new(layer, layer);

    public static implicit operator JsonNode(LayerPair layers) => layers.IsSame ? JsonValue.Create(layers.Base) : JsonValue.Create(layers.ToString());

    public static bool operator <(LayerPair left, LayerPair right) => left.CompareTo(right) < 0;

    public static bool operator <=(LayerPair left, LayerPair right) => left.CompareTo(right) <= 0;

    public static bool operator >(LayerPair left, LayerPair right) => left.CompareTo(right) > 0;

    public static bool operator >=(LayerPair left, LayerPair right) => left.CompareTo(right) >= 0;

    /// <summary>Reads "13", "13:12" or a folder's "13-12".</summary>
    public static bool TryParse(string? text, out LayerPair layers)
    {
        string[] parts = (text ?? "").Split(':', '-');
        bool first = int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int b), second = int.TryParse(parts[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int c);
        layers = new LayerPair(b, c);
        return first && second && parts.Length <= 2;
    }

    /// <summary>What a manifest says; null where it says none.</summary>
    public static LayerPair? Of(JsonNode? value) => value?.GetValueKind() switch
    {
        JsonValueKind.Number when value.AsValue().TryGetValue(out int number) => number,
        JsonValueKind.String when TryParse((string?)value, out LayerPair pair) => pair,
        _ => null,
    };

    public int CompareTo(LayerPair other) => (Base, Chat).CompareTo((other.Base, other.Chat));

    public override string ToString() => IsSame ? Base.ToString(CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{Base}:{Chat}");

    [SuppressMessage("Performance", "CA1812", Justification = "made by the serializer")]
    sealed class Converter : JsonConverter<LayerPair>
    {
        public override LayerPair Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => Of(JsonNode.Parse(ref reader)) ?? throw new JsonException("not a layer");

        public override void Write(Utf8JsonWriter writer, LayerPair value, JsonSerializerOptions options) => ((JsonNode)value).WriteTo(writer, options);
    }
}

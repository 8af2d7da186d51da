using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Unicode;
using Diffract.Evidence;

namespace Diffract.Reports;

/// <summary>
/// <c>report.json</c>: the whole <see cref="RunReport"/>, camel case. NaN and infinities are null, so that every JSON reader takes it. Latents are a table: <c>columns</c> and <c>rows</c>.
/// </summary>
public static class ReportJson
{
    /// <summary>HTML-sensitive characters are escaped, so that the text can stand inside a script element.</summary>
    static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.Create(UnicodeRanges.All),
        Converters = { new FiniteDouble(), new FiniteSingle() },
    };

    /// <summary>All of it.</summary>
    public static string Write(RunReport report) => ToNode(report, null).ToJsonString(new JsonSerializerOptions(Options) { WriteIndented = true });

    /// <summary>What the page holds: at most <paramref name="latents"/> rows of each latent table, no white space.</summary>
    public static string WriteForPage(RunReport report, int latents) => ToNode(report, latents).ToJsonString(Options);

    static JsonNode ToNode(RunReport report, int? latents)
    {
        JsonNode root = JsonSerializer.SerializeToNode(report with { Crosscoders = [.. report.Crosscoders.Select(c => c with { Latents = [] })] }, Options)!;
        JsonArray crosscoders = root["crosscoders"]!.AsArray();
        for (int i = 0; i < crosscoders.Count; i++)
        {
            IReadOnlyList<ReportLatent> rows = report.Crosscoders[i].Latents;
            crosscoders[i]!["label"] = ReportWords.Label(report.Crosscoders[i]);
            if (crosscoders[i]!["behaviours"]?["rows"] is JsonArray behaviours)
            {
                for (int k = 0; k < behaviours.Count; k++)
                {
                    behaviours[k]!["tracks"] = BehaviourTracking.Tracks(report.Crosscoders[i].Behaviours!.Rows[k]);
                }
            }

            crosscoders[i]!["latents"] = Table(rows, Math.Min(latents ?? rows.Count, rows.Count));
        }

        return root;
    }

    static JsonObject Table(IReadOnlyList<ReportLatent> rows, int take)
    {
        JsonArray table = [];
        for (int i = 0; i < take; i++)
        {
            JsonArray row = [];
            foreach (LatentColumn column in LatentColumn.All)
            {
                row.Add(JsonSerializer.SerializeToNode(column.Value(rows[i]), Options));
            }

            table.Add((JsonNode)row);
        }

        return new JsonObject
        {
            ["total"] = rows.Count,
            ["columns"] = new JsonArray([.. LatentColumn.All.Select(c => (JsonNode)JsonValue.Create(c.Name)!)]),
            ["rows"] = table,
        };
    }

    /// <summary>Seven significant digits: more than any of these numbers carries, and half the size.</summary>
    sealed class FiniteDouble : JsonConverter<double>
    {
        public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
            => reader.TokenType == JsonTokenType.Null ? double.NaN : reader.GetDouble();

        public override bool HandleNull => true;

        public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options) => WriteNumber(writer, value, "G7");
    }

    sealed class FiniteSingle : JsonConverter<float>
    {
        public override float Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
            => reader.TokenType == JsonTokenType.Null ? float.NaN : reader.GetSingle();

        public override bool HandleNull => true;

        /// <summary>Activations beside tokens: they only set a colour and a hint.</summary>
        public override void Write(Utf8JsonWriter writer, float value, JsonSerializerOptions options) => WriteNumber(writer, value, "G4");
    }

    static void WriteNumber(Utf8JsonWriter writer, double value, string format)
    {
        if (double.IsFinite(value))
        {
            writer.WriteRawValue(value.ToString(format, System.Globalization.CultureInfo.InvariantCulture).Replace("E+", "E", StringComparison.Ordinal), skipInputValidation: true);
        }
        else
        {
            writer.WriteNullValue();
        }
    }
}

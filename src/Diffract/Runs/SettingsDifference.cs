using System.Text.Json.Nodes;

namespace Diffract.Runs;

/// <summary>Says which fields of two sets of settings differ, for refusals.</summary>
public static class SettingsDifference
{
    /// <summary>"k was 3, now 5; seed was nothing, now 2" in the order of the fields, or "equal".</summary>
    public static string Of(JsonObject before, JsonObject now)
    {
        string[] parts = [.. before.Select(p => p.Key).Union(now.Select(p => p.Key))
            .Where(key => !JsonNode.DeepEquals(before[key], now[key]))
            .Select(key => $"{key} was {Text(before[key])}, now {Text(now[key])}")];
        return parts.Length > 0 ? string.Join("; ", parts) : "equal";
    }

    static string Text(JsonNode? value) => value?.ToJsonString(Provenance.Line) ?? "nothing";
}

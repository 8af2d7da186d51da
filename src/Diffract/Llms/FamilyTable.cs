namespace Diffract.Llms;

/// <summary>The families as a Markdown table, from what their reader asks for.</summary>
public static class FamilyTable
{
    /// <summary>Header, a row for the keys that all families read, a row a family with its own, then what some keys may say.</summary>
    public static IReadOnlyList<string> Lines()
    {
        LlmFamily[] families = [.. LlmFamily.Supported.Values.OrderBy(f => f.Name, StringComparer.Ordinal)];
        string[] common = [.. families[0].Fields.Where(field => families.All(f => f.Fields.Contains(field)))];
        return
        [
            "| `model_type` | checkpoints | fields of `config.json` |",
            "|---|---|---|",
            $"| all | | {Names(["model_type", .. common])} |",
            .. families.Select(f => $"| `{f.Name}` | {f.Title} | {Names(f.Fields.Except(common))} |"),
            "",
            $"`rope_scaling` and `rope_parameters` may say {Names(RotaryScalingReader.Types)} (longrope up to its original context, dynamic up to its context); activations are {Names(LlmConfig.ActivationNames.Keys)}; weights are float32, bfloat16 or float16.",
        ];
    }

    static string Names(IEnumerable<string> names) => string.Join(", ", names.Select(n => $"`{n}`"));
}

namespace Diffract.Llms;

/// <summary>The sliding windows of config.json: a list by block, or the family's rule.</summary>
static class WindowReader
{
    /// <summary>Window of each block, in tokens; 0 attends in full.</summary>
    public static int[] Read(ConfigJson json, LlmFamily family, int layers)
    {
        LlmDefaults absent = family.Defaults;
        switch (family.Windows)
        {
            case WindowRule.All:
                int all = json.CountOrNone("sliding_window", absent.SlidingWindow);
                return Windows(layers, _ => all);
            case WindowRule.Pattern:
                int window = json.CountOrNone("sliding_window", absent.SlidingWindow);
                int pattern = family.Keys.SlidingPattern is { } key ? json.Count(key, json.Count("_" + key, absent.SlidingPattern)) : absent.SlidingPattern;
                return Listed(json, layers, window) ?? Windows(layers, i => (i + 1) % pattern != 0 ? window : 0);
            case WindowRule.Upper:
                int upper = json.CountOrNone("sliding_window", absent.SlidingWindow);
                upper = json.Flag("use_sliding_window") == true ? upper : 0;
                int first = json.Natural("max_window_layers", absent.MaxWindowLayers);
                return Listed(json, layers, upper) ?? Windows(layers, i => i >= first ? upper : 0);
            default:
                return new int[layers];
        }
    }

    /// <summary>By <c>layer_types</c>, or null where it is absent.</summary>
    public static int[]? Listed(ConfigJson json, int layers, int window)
    {
        if (json.Texts("layer_types") is not { } types)
        {
            return null;
        }

        return types.Count == layers
            ? Windows(layers, i => types[i] switch
            {
                "sliding_attention" => window,
                "full_attention" => 0,
                _ => throw json.Refuse("layer_types", types[i], "sliding_attention or full_attention"),
            })
            : throw json.Refuse("layer_types", $"{types.Count} entries", $"{layers}, as num_hidden_layers says");
    }

    static int[] Windows(int layers, Func<int, int> of) => [.. Enumerable.Range(0, layers).Select(of)];
}

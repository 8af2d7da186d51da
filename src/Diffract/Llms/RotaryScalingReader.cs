namespace Diffract.Llms;

/// <summary>The kind and numbers of <c>rope_scaling</c> or <c>rope_parameters</c>, with what transformers 5 takes for those that are left out.</summary>
/// <param name="json">The configuration.</param>
/// <param name="family">What it is read for.</param>
sealed class RotaryScalingReader(ConfigJson json, LlmFamily family)
{
    /// <summary>The context before it was stretched, in tokens; in some families beside the scaling, where it wins over one inside.</summary>
    const string OldContextKey = "original_max_position_embeddings";

    /// <summary>Types of scaling that are computed.</summary>
    public static readonly string[] Types = ["default", "linear", "llama3", "yarn", "longrope", "dynamic"];

    readonly int _beside = json.Count(OldContextKey, family.Defaults.OldContext);
    readonly int _context = json.Count(family.Keys.ContextLimit, family.Defaults.ContextLimit);

    /// <param name="rope">The object that says it.</param>
    /// <param name="theta">Base of the frequencies.</param>
    /// <param name="width">R.</param>
    public RotaryScaling? Read(ConfigJson rope, double theta, int width)
    {
        string key = rope.Has("rope_type") ? "rope_type" : "type";
        string type = rope.Text(key) ?? "default";
        switch (family.OlderLongRopeNames.Contains(type) ? "longrope" : type)
        {
            case "default":
                return null;
            case "linear":
                return new RotaryScaling.Linear(Needed(rope, "factor"));
            case "llama3":
                double low = Needed(rope, "low_freq_factor"), high = Needed(rope, "high_freq_factor");
                return high > low
                    ? new RotaryScaling.Llama3(Needed(rope, "factor"), low, high, (int)Needed(rope, OldContextKey))
                    : throw rope.Refuse("high_freq_factor", $"{high:R}", $"more than low_freq_factor, {low:R}");
            case "yarn":
                return Yarn(rope, theta, width);
            case "longrope":
                return LongRope(rope, width);
            case "dynamic":
                Needed(rope, "factor");
                return new RotaryScaling.Dynamic(_context);
            default:
                throw rope.Refuse(key, type, string.Join(", ", Types));
        }
    }

    static double Needed(ConfigJson rope, string field) => rope.Has(field) ? rope.Positive(field, 0) : throw rope.Refuse(field, "absent", "a positive number");

    RotaryScaling.Yarn Yarn(ConfigJson rope, double theta, int width)
    {
        if (theta <= 1)
        {
            throw rope.Refuse("rope_theta", $"{theta:R}", "more than 1, for yarn");
        }

        int old = OldContext(rope);
        double factor = Needed(rope, "factor");
        double first = RotaryScaling.Yarn.IndexOf(rope.Positive("beta_fast", 32), width, theta, old);
        double last = RotaryScaling.Yarn.IndexOf(rope.Positive("beta_slow", 1), width, theta, old);
        if (rope.Flag("truncate") != false)
        {
            (first, last) = (Math.Floor(first), Math.Ceiling(last));
        }

        (first, last) = (Math.Max(first, 0), Math.Min(last, width - 1));
        if (last < first)
        {
            throw rope.Refuse("beta_slow", $"{rope.Positive("beta_slow", 1):R}", $"fewer turns than beta_fast, {rope.Positive("beta_fast", 32):R}, and frequencies between the two");
        }

        double attention = rope.Has("mscale") && rope.Has("mscale_all_dim")
            ? RotaryScaling.Yarn.AttentionOf(factor, rope.Positive("mscale", 1)) / RotaryScaling.Yarn.AttentionOf(factor, rope.Positive("mscale_all_dim", 1))
            : RotaryScaling.Yarn.AttentionOf(factor);
        return new RotaryScaling.Yarn(factor, first, last, rope.Positive("attention_factor", attention));
    }

    RotaryScaling.LongRope LongRope(ConfigJson rope, int width)
    {
        int old = OldContext(rope);
        double stretch = _context / (double)old, factor = rope.Positive("factor", stretch);
        if (factor != stretch)
        {
            // Versions of transformers do not agree on which of the two counts.
            throw rope.Refuse("factor", $"{factor:R}", $"{stretch:R}, {family.Keys.ContextLimit} over {OldContextKey}");
        }

        Factors(rope, "long_factor", width);
        double attention = factor <= 1 || old == 1 ? 1 : Math.Sqrt(1 + Math.Log(factor) / Math.Log(old));
        return new RotaryScaling.LongRope(Factors(rope, "short_factor", width), old, rope.Positive("attention_factor", attention));
    }

    static IReadOnlyList<double> Factors(ConfigJson rope, string field, int width)
    {
        IReadOnlyList<double> factors = rope.Positives(field) ?? throw rope.Refuse(field, "absent", $"a list of {width / 2} positive numbers");
        return factors.Count == width / 2 ? factors : throw rope.Refuse(field, $"{factors.Count} numbers", $"{width / 2}, one for each frequency");
    }

    int OldContext(ConfigJson rope) => _beside > 0 ? _beside : rope.Count(OldContextKey, _context);
}

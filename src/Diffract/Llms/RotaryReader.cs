namespace Diffract.Llms;

/// <summary>
/// The rotary part of config.json: <c>rope_theta</c> and <c>rope_scaling</c> as published checkpoints have them, or <c>rope_parameters</c>, which holds both (and, in families with two tables,
/// one object for each kind of block).
/// </summary>
static class RotaryReader
{
    /// <summary>The table of the blocks that attend in full, and that of the blocks with a window.</summary>
    public static (Rotary Full, Rotary Sliding) Read(ConfigJson json, LlmFamily family, int headWidth)
    {
        LlmKeys keys = family.Keys;
        double theta = json.Positive(keys.RopeTheta!, family.Defaults.RopeTheta);
        double share = keys.PartialRotary is { } partial ? json.Positive(partial, family.Defaults.PartialRotary) : 1;
        double? local = keys.LocalRopeTheta is { } other ? json.Positive(other, family.Defaults.LocalRopeTheta) : null;
        Source source = new(json, new RotaryScalingReader(json, family), keys.PartialRotary, share, headWidth);
        // The first that is there: transformers lets rope_scaling win.
        ConfigJson? scaling = json.Inner("rope_scaling"), parameters = json.Inner("rope_parameters");
        if ((scaling ?? parameters) is not { } rope)
        {
            Rotary plain = source.Plain(theta);
            return (plain, local is { } slow ? plain with { Theta = slow } : plain);
        }

        string field = scaling is null ? "rope_parameters" : "rope_scaling";
        if (local is { } localTheta && (rope.Has("full_attention") || rope.Has("sliding_attention")))
        {
            Rotary Kind(string kind, double absent) => rope.Inner(kind) is { } one ? source.Of(one, $"{field}.{kind}", absent) : source.Plain(absent);
            return (Kind("full_attention", theta), Kind("sliding_attention", localTheta));
        }

        Rotary full = source.Of(rope, field, theta);
        return (full, local is { } unscaled ? source.Plain(unscaled) : full);
    }

    /// <summary>What the objects share.</summary>
    sealed record Source(ConfigJson Json, RotaryScalingReader Scaling, string? PartialKey, double Share, int HeadWidth)
    {
        public Rotary Plain(double theta) => new(Width(Share, PartialKey ?? "partial_rotary_factor"), theta);

        public Rotary Of(ConfigJson rope, string field, double absent)
        {
            if (rope.FirstInner() is { } nested)
            {
                throw Json.Refuse($"{field}.{nested}", "an object", "one set of rotary parameters for all blocks");
            }

            double share = rope.Positive("partial_rotary_factor", Share);
            if (PartialKey is null && share != 1)
            {
                throw Json.Refuse($"{field}.partial_rotary_factor", $"{share:R}", "1: heads of this family turn whole");
            }

            double theta = rope.Positive("rope_theta", absent);
            int width = Width(share, $"{field}.partial_rotary_factor");
            return new Rotary(width, theta, Scaling.Read(rope, theta, width));
        }

        int Width(double share, string field)
        {
            int width = (int)Math.Min(HeadWidth * share, int.MaxValue);
            return width >= 2 && width % 2 == 0 && width <= HeadWidth
                ? width
                : throw (share == 1 ? Json.Refuse("head_dim", $"{HeadWidth}", "an even number, for the rotary pairs")
                    : Json.Refuse(field, $"{share:R}", $"a share of the head's width, {HeadWidth}, that gives an even number of at least 2"));
        }
    }
}

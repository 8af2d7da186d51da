namespace Diffract.Latents;

/// <summary>The bounds of the classes, in one place, and the names that published tables give them. All bounds are strict.</summary>
public static class LatentClasses
{
    /// <summary>Chat-only above this Delta-norm.</summary>
    public const double ChatOnlyAbove = 0.9;

    /// <summary>Base-only below this Delta-norm.</summary>
    public const double BaseOnlyBelow = 0.1;

    /// <summary>Shared when the Delta-norm is nearer to 0.5 than this.</summary>
    public const double SharedWithin = 0.1;

    /// <summary>A latent active on fewer held-out tokens than this counts as dead.</summary>
    public const long DeadBelow = 10;

    /// <summary>The class of a Delta-norm; NaN is <see cref="LatentClass.Other"/>.</summary>
    public static LatentClass Of(double deltaNorm) => deltaNorm switch
    {
        > ChatOnlyAbove => LatentClass.ChatOnly,
        < BaseOnlyBelow => LatentClass.BaseOnly,
        _ when Math.Abs(deltaNorm - 0.5) < SharedWithin => LatentClass.Shared,
        _ => LatentClass.Other,
    };

    /// <summary>The class of a latent that a partition designates to model 0 (base), 1 (chat) or to none.</summary>
    public static LatentClass Designated(int? model) => model switch
    {
        0 => LatentClass.BaseOnly,
        1 => LatentClass.ChatOnly,
        _ => LatentClass.Shared,
    };

    /// <summary>
    /// The class of a latent in a crosscoder with a designated partition: what it was designated to. A shared one has the class of its Delta-norm, save that it cannot be of one model alone.
    /// </summary>
    public static LatentClass Of(double deltaNorm, int? designated)
        => designated is not null ? Designated(designated) : Of(deltaNorm) is LatentClass.ChatOnly or LatentClass.BaseOnly ? LatentClass.Other : Of(deltaNorm);

    /// <summary>The published column <c>tag</c>.</summary>
    public static string Tag(LatentClass value) => value switch
    {
        LatentClass.ChatOnly => "Chat only",
        LatentClass.BaseOnly => "Base only",
        LatentClass.Shared => "Shared",
        _ => "Other",
    };

    /// <summary>The class that a published tag names ("IT only" is an older word for chat only), or null.</summary>
    public static LatentClass? Parse(string tag) => tag switch
    {
        "Chat only" or "IT only" => LatentClass.ChatOnly,
        "Base only" => LatentClass.BaseOnly,
        "Shared" => LatentClass.Shared,
        "Other" => LatentClass.Other,
        _ => null,
    };
}

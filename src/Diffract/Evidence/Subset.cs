using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>Positions over which effects are averaged (spec 7.1).</summary>
public static class Subset
{
    public const string All = "all", FirstK = "k_first", AfterK = "post_k_first";

    public static IReadOnlyList<string> Names { get; } = [All, FirstK, AfterK];

    /// <summary>The positions of one subset in a chat.</summary>
    public static bool[] Of(string subset, AnswerMasks masks) => subset switch
    {
        All => masks.All,
        FirstK => masks.KFirst,
        AfterK => masks.PostKFirst,
        _ => throw new ArgumentOutOfRangeException(nameof(subset), subset, null),
    };
}

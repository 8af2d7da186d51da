using Diffract.Compute.Kernels;

namespace Diffract.Crosscoders;

/// <summary>How code norms are numbered and named in published files (spec 2.3).</summary>
public static class CodeNormIds
{
    static readonly string[] Names = ["CROSSCODER", "SAE", "MIXED", "NONE", "DECOUPLED"];

    public static long Of(CodeNormKind kind) => Array.IndexOf(Names, Name(kind)) + 1;

    public static string Name(CodeNormKind kind) => kind == CodeNormKind.None ? "NONE" : "CROSSCODER";

    /// <summary>The code norm with this number; null for one that is not supported.</summary>
    public static CodeNormKind? FromId(long id) => FromName(AnyName(id));

    /// <summary>The code norm with this name, in any case; null for one that is not supported.</summary>
    public static CodeNormKind? FromName(string name) => name.ToUpperInvariant() switch
    {
        "CROSSCODER" => CodeNormKind.Crosscoder,
        "NONE" => CodeNormKind.None,
        _ => null,
    };

    /// <summary>The name of any number, supported or not.</summary>
    public static string AnyName(long id) => id >= 1 && id <= Names.Length ? Names[id - 1] : $"number {id}";
}

using Diffract.Compute.Kernels;

namespace Diffract.Crosscoders;

/// <summary>How code norms are numbered and named in published files (spec 2.3).</summary>
public static class CodeNormIds
{
    static readonly string[] Names = ["CROSSCODER", "SAE", "MIXED", "NONE", "DECOUPLED"];

    static readonly CodeNormKind[] Kinds = [CodeNormKind.Crosscoder, CodeNormKind.Sae, CodeNormKind.Mixed, CodeNormKind.None, CodeNormKind.Decoupled];

    public static long Of(CodeNormKind kind) => Array.IndexOf(Kinds, kind) + 1;

    public static string Name(CodeNormKind kind) => Names[Array.IndexOf(Kinds, kind)];

    /// <summary>The code norm with this number; null where there is none.</summary>
    public static CodeNormKind? FromId(long id) => id >= 1 && id <= Kinds.Length ? Kinds[id - 1] : null;

    /// <summary>The code norm with this name, in any case; null where there is none.</summary>
    public static CodeNormKind? FromName(string name) => Array.IndexOf(Names, name.ToUpperInvariant()) is >= 0 and int i ? Kinds[i] : null;
}

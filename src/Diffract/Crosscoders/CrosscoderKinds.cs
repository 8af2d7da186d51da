namespace Diffract.Crosscoders;

/// <summary>The names of the kinds on the command line, in manifests and in published files.</summary>
public static class CrosscoderKinds
{
    static readonly string[] Names = ["l1", "batchtopk", "jumprelu"];

    static readonly string[] Classes = ["CrossCoder", "BatchTopKCrossCoder", "JumpReLUCrossCoder"];

    /// <summary>All names, in the order of <see cref="CrosscoderKind"/>.</summary>
    public static IReadOnlyList<string> All => Names;

    public static string Name(this CrosscoderKind kind) => Names[(int)kind];

    /// <summary>The kind of this name; null where there is none.</summary>
    public static CrosscoderKind? FromName(string? name) => Array.IndexOf(Names, name) is >= 0 and int i ? (CrosscoderKind)i : null;

    /// <summary><c>dict_class</c> in config.json: the reference library's, and one of ours for JumpReLU, which it does not have.</summary>
    public static string ClassName(this CrosscoderKind kind) => Classes[(int)kind];

    /// <summary>The kind of this <c>dict_class</c>; null where there is none.</summary>
    public static CrosscoderKind? FromClass(string? name) => Array.IndexOf(Classes, name) is >= 0 and int i ? (CrosscoderKind)i : null;
}

namespace Diffract.Planted;

/// <summary>Names of the classes in files, options and tables.</summary>
public static class TruthClasses
{
    public static IReadOnlyList<TruthClass> All { get; } = Enum.GetValues<TruthClass>();

    public static string Name(TruthClass value) => value switch
    {
        TruthClass.Shared => "shared",
        TruthClass.Rotated => "rotated",
        TruthClass.Rescaled => "rescaled",
        TruthClass.BaseOnly => "base-only",
        TruthClass.ChatOnly => "chat-only",
        _ => "decoupled",
    };
}

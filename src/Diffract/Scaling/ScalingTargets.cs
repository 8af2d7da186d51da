namespace Diffract.Scaling;

/// <summary>The eight targets of a pair of models under the names that published files give them.</summary>
public static class ScalingTargets
{
    /// <summary>Model 0, model 1.</summary>
    public static IReadOnlyList<string> Models { get; } = ["base", "chat"];

    /// <summary>Kind, model and name ("base_activation_no_bias"), in the order of the columns.</summary>
    public static IReadOnlyList<(TargetKind Kind, int Model, string Name)> All { get; } =
        [.. Enum.GetValues<TargetKind>().SelectMany(kind => Models.Select((name, model) => (kind, model, $"{name}_{Token(kind)}")))];

    /// <summary>"activation", "activation_no_bias", "reconstruction", "error".</summary>
    public static string Token(TargetKind kind) => kind switch
    {
        TargetKind.Activation => "activation",
        TargetKind.ActivationNoBias => "activation_no_bias",
        TargetKind.Reconstruction => "reconstruction",
        _ => "error",
    };
}

namespace Diffract.Training;

/// <summary>The reconstruction term of the loss (spec 3.3), a mean over tokens and models.</summary>
public enum LossKind
{
    /// <summary>The length of the error, not squared.</summary>
    Norm,

    /// <summary>The squared length of the error.</summary>
    Mse,
}

using Diffract.Latents;

namespace Diffract.Scaling;

/// <summary>The bounds of the verdicts, in one place (spec 5.3; strict).</summary>
public static class Verdicts
{
    /// <summary>|nu_error| must be below this.</summary>
    public const double NuErrorBelow = 0.2;

    /// <summary>|nu_reconstruction| must be below this.</summary>
    public const double NuReconstructionBelow = 0.5;

    /// <summary>Fewer activations than this decide nothing.</summary>
    public const long FewestActivations = 50;

    public static Verdict Of(double deltaNorm, long countActive, double nuError, double nuReconstruction)
    {
        if (LatentClasses.Of(deltaNorm) != LatentClass.ChatOnly)
        {
            return Verdict.NotChatOnly;
        }

        if (double.IsNaN(nuError) || double.IsNaN(nuReconstruction) || countActive < FewestActivations)
        {
            return Verdict.Undecided;
        }

        return (Math.Abs(nuError) < NuErrorBelow, Math.Abs(nuReconstruction) < NuReconstructionBelow) switch
        {
            (true, true) => Verdict.ChatSpecific,
            (false, true) => Verdict.CompleteShrinkage,
            (true, false) => Verdict.Decoupling,
            _ => Verdict.Both,
        };
    }

    /// <summary>How tables spell it: "chat_specific".</summary>
    public static string Name(Verdict verdict) => verdict switch
    {
        Verdict.NotChatOnly => "not_chat_only",
        Verdict.ChatSpecific => "chat_specific",
        Verdict.CompleteShrinkage => "complete_shrinkage",
        Verdict.Decoupling => "decoupling",
        Verdict.Both => "both",
        _ => "undecided",
    };

    /// <summary>The verdict that a table names, or null.</summary>
    public static Verdict? Parse(string name)
    {
        foreach (Verdict verdict in Enum.GetValues<Verdict>())
        {
            if (Name(verdict) == name)
            {
                return verdict;
            }
        }

        return null;
    }
}

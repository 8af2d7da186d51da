namespace Diffract.Reports;

/// <summary>One latent: its row of section 7 and of <c>latents_&lt;name&gt;.csv</c>. NaN: not known or not defined.</summary>
public sealed record ReportLatent
{
    /// <summary>Index in the dictionary.</summary>
    public required int Latent { get; init; }

    /// <summary>chat-only, base-only, shared or other, by relative decoder norm.</summary>
    public required string Class { get; init; }

    /// <summary>chat-specific, complete shrinkage, decoupling, both or undecided; empty when it is not chat-only or was not scaled.</summary>
    public string Verdict { get; init; } = "";

    /// <summary>Relative decoder norm: 1 = chat-only, 0 = base-only.</summary>
    public required double DeltaNorm { get; init; }

    public double DecBaseNorm { get; init; } = double.NaN;

    public double DecChatNorm { get; init; } = double.NaN;

    /// <summary>Cosine of its two decoder rows.</summary>
    public double DecCosine { get; init; } = double.NaN;

    public double EncBaseNorm { get; init; } = double.NaN;

    public double EncChatNorm { get; init; } = double.NaN;

    /// <summary>Relative encoder norm.</summary>
    public double EncDelta { get; init; } = double.NaN;

    public double EncCosine { get; init; } = double.NaN;

    public double NuError { get; init; } = double.NaN;

    public double NuErrorSe { get; init; } = double.NaN;

    public double NuReconstruction { get; init; } = double.NaN;

    public double NuReconstructionSe { get; init; } = double.NaN;

    /// <summary>Activations behind the two ratios.</summary>
    public long ScalingActive { get; init; }

    /// <summary>Held-out tokens on which it fires.</summary>
    public long Active { get; init; }

    /// <summary>Share of all scanned tokens on which it fires; then by role.</summary>
    public double Rate { get; init; } = double.NaN;

    public double RateBos { get; init; } = double.NaN;

    public double RateTemplate { get; init; } = double.NaN;

    public double RateUser { get; init; } = double.NaN;

    public double RateAssistant { get; init; } = double.NaN;

    public double RatePlain { get; init; } = double.NaN;

    public double RateSystem { get; init; } = double.NaN;

    /// <summary>Largest scaled activation.</summary>
    public double MaxActivation { get; init; } = double.NaN;

    /// <summary>Mean scaled activation where it fires.</summary>
    public double MeanActivation { get; init; } = double.NaN;

    /// <summary>Share of its activations on chats that falls on template tokens.</summary>
    public double TemplateShare { get; init; } = double.NaN;

    public bool Dead { get; init; }

    /// <summary>Behaviours that it tracks.</summary>
    public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>Chat-only by norm, and chat-specific by Latent Scaling.</summary>
    public bool Survives => Verdict == "chat-specific";
}

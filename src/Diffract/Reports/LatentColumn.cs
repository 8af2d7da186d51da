namespace Diffract.Reports;

/// <summary>One column of the table of latents, the same in the page, <c>report.json</c> and the CSV.</summary>
/// <param name="Name">Header.</param>
/// <param name="Value">Its value in a row: int, long, double, bool or string.</param>
sealed record LatentColumn(string Name, Func<ReportLatent, object> Value)
{
    public static IReadOnlyList<LatentColumn> All { get; } =
    [
        new("latent", l => l.Latent),
        new("class", l => l.Class),
        new("verdict", l => l.Verdict),
        new("delta_norm", l => l.DeltaNorm),
        new("nu_error", l => l.NuError),
        new("nu_error_se", l => l.NuErrorSe),
        new("nu_reconstruction", l => l.NuReconstruction),
        new("nu_reconstruction_se", l => l.NuReconstructionSe),
        new("scaling_active", l => l.ScalingActive),
        new("dec_base_norm", l => l.DecBaseNorm),
        new("dec_chat_norm", l => l.DecChatNorm),
        new("dec_cosine", l => l.DecCosine),
        new("enc_base_norm", l => l.EncBaseNorm),
        new("enc_chat_norm", l => l.EncChatNorm),
        new("enc_delta", l => l.EncDelta),
        new("enc_cosine", l => l.EncCosine),
        new("active", l => l.Active),
        new("rate", l => l.Rate),
        new("rate_bos", l => l.RateBos),
        new("rate_template", l => l.RateTemplate),
        new("rate_user", l => l.RateUser),
        new("rate_assistant", l => l.RateAssistant),
        new("rate_plain", l => l.RatePlain),
        new("rate_system", l => l.RateSystem),
        new("max_activation", l => l.MaxActivation),
        new("mean_activation", l => l.MeanActivation),
        new("template_share", l => l.TemplateShare),
        new("dead", l => l.Dead),
        new("labels", l => string.Join("; ", l.Labels)),
    ];
}

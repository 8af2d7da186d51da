namespace Diffract.Latents;

/// <summary>
/// Share of the tokens of a role on which a latent is active; NaN where no token has the role. The end of an answer counts both as template and as assistant.
/// </summary>
public readonly record struct RoleRates(double Bos, double Template, double User, double Assistant, double Plain)
{
    /// <summary>Of the text of system turns, where there are any.</summary>
    public double System { get; init; } = double.NaN;
}

using System.Globalization;
using System.Text;
using Diffract.Latents;
using Diffract.Runs;

namespace Diffract.Scaling;

/// <summary>
/// Latent Scaling of a crosscoder: one row per latent, <c>scaling.csv</c> in the stage folder, under the published column names. Empty is NaN; infinite ratios are written as such.
/// </summary>
public sealed class ScalingTable
{
    /// <summary>In the stage folder.</summary>
    public const string FileName = "scaling.csv";

    const string Header = ",verdict,count_active,beta_activation_base,beta_activation_chat,beta_activation_no_bias_base,beta_activation_no_bias_chat,beta_reconstruction_base,"
        + "beta_reconstruction_chat,beta_error_base,beta_error_chat,beta_ratio_error,beta_ratio_error_se,beta_ratio_reconstruction,beta_ratio_reconstruction_se";

    ScalingTable(IReadOnlyList<ScalingRow> rows, StageManifest manifest) => (Rows, Manifest) = (rows, manifest);

    /// <summary>Row j is latent j.</summary>
    public IReadOnlyList<ScalingRow> Rows { get; }

    public StageManifest Manifest { get; }

    /// <summary>The table of a finished scale stage; a missing, stale or damaged one is refused.</summary>
    public static ScalingTable Open(RunFolder run, string name)
    {
        StageManifest manifest = Provenance.Require(run, run.Scaling(name), $"diffract scale {run.Root} --name {name}");
        return new ScalingTable(Read(Path.Combine(run.Scaling(name), FileName)), manifest);
    }

    public static FileSeal Write(string path, IReadOnlyList<ScalingRow> rows)
    {
        StringBuilder text = new(Header);
        text.Append('\n');
        foreach (ScalingRow r in rows)
        {
            text.Append(CultureInfo.InvariantCulture, $"{r.Latent},{Verdicts.Name(r.Verdict)},{r.CountActive}");
            foreach (double value in (ReadOnlySpan<double>)[
                r.BetaBaseActivation, r.BetaChatActivation, r.BetaBaseActivationNoBias, r.BetaChatActivationNoBias, r.BetaBaseReconstruction, r.BetaChatReconstruction,
                r.BetaBaseError, r.BetaChatError, r.NuError, r.NuErrorSe, r.NuReconstruction, r.NuReconstructionSe])
            {
                text.Append(',').Append(CsvNumbers.Write(value));
            }

            text.Append('\n');
        }

        return AtomicFile.WriteText(path, text.ToString());
    }

    public static ScalingRow[] Read(string path)
    {
        string[] lines = File.ReadAllLines(path);
        if (lines.Length == 0 || lines[0] != Header)
        {
            throw new DiffractException($"{path} does not begin with the columns of a scaling table; run `diffract scale --fresh`");
        }

        ScalingRow[] rows = new ScalingRow[lines.Length - 1];
        for (int i = 0; i < rows.Length; i++)
        {
            string[] f = lines[i + 1].Split(',');
            if (f.Length != 15 || Verdicts.Parse(f[1]) is not { } verdict || f[0] != i.ToString(CultureInfo.InvariantCulture))
            {
                throw new DiffractException($"{path} line {i + 2} is not the row of latent {i}: changed or damaged; run `diffract scale --fresh`");
            }

            double[] n = [.. f.Skip(2).Select(text => CsvNumbers.Read(text, path, i + 2))];
            rows[i] = new ScalingRow(i, (long)n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], verdict);
        }

        return rows;
    }
}

using System.Globalization;
using System.Text;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>
/// The latent table of a crosscoder: one row per latent, <c>latents.csv</c> in the stage folder. Columns that published tables have carry their names; the first, unnamed one is the
/// latent. Empty is NaN. Numbers are the shortest that read back to the same bits.
/// </summary>
public sealed class LatentTable
{
    /// <summary>In the stage folder.</summary>
    public const string FileName = "latents.csv";

    const string Header = ",tag,dead,delta_norm,dec_norm_diff,dec_base_norm,dec_instruct_norm,dec_cos_sim,enc_delta_norm,enc_norm_diff,enc_base_norm,enc_instruct_norm,enc_cos_sim,"
        + "count_active,freq_val,bos_freq,template_freq,user_freq,assistant_freq,plain_freq,max_act_val,mean_act_val,template_share";

    /// <summary>After the others, only where some token is of a system turn.</summary>
    const string System = ",system_freq";

    /// <summary>Last column of a crosscoder with a designated partition, and only of one.</summary>
    const string Construction = ",by_construction";

    LatentTable(IReadOnlyList<LatentRow> rows, StageManifest manifest) => (Rows, Manifest) = (rows, manifest);

    /// <summary>Row j is latent j.</summary>
    public IReadOnlyList<LatentRow> Rows { get; }

    public StageManifest Manifest { get; }

    /// <summary>The table of a finished latents stage; a missing, stale or damaged one is refused.</summary>
    public static LatentTable Open(RunFolder run, string name)
    {
        StageManifest manifest = Require(run, name);
        return new LatentTable(Read(Path.Combine(run.Latents(name), FileName)), manifest);
    }

    /// <summary>The manifest of a finished latents stage.</summary>
    public static StageManifest Require(RunFolder run, string name)
        => Provenance.Require(run, run.Latents(name), $"diffract latents {run.Root} --name {name}");

    public static FileSeal Write(string path, IReadOnlyList<LatentRow> rows)
    {
        bool partitioned = rows.Any(r => r.ByConstruction);
        bool system = rows.Any(r => !double.IsNaN(r.Rates.System));
        StringBuilder text = new(Header + (system ? System : "") + (partitioned ? Construction : ""));
        text.Append('\n');
        foreach (LatentRow r in rows)
        {
            text.Append(CultureInfo.InvariantCulture, $"{r.Latent},{LatentClasses.Tag(r.Class)},{(r.Dead ? "True" : "False")}");
            // *_delta_norm: 1 = chat-only. The published *_norm_diff are their complements, 0 = chat-only.
            Append(r.DeltaNorm, 1 - r.DeltaNorm, r.DecBaseNorm, r.DecChatNorm, r.DecCosine, r.EncDelta, 1 - r.EncDelta, r.EncBaseNorm, r.EncChatNorm, r.EncCosine);
            text.Append(CultureInfo.InvariantCulture, $",{r.Active}");
            Append(r.Rate, r.Rates.Bos, r.Rates.Template, r.Rates.User, r.Rates.Assistant, r.Rates.Plain, r.MaxActivation, r.MeanActivation, r.TemplateShare);
            if (system)
            {
                Append(r.Rates.System);
            }

            text.Append(!partitioned ? "" : r.ByConstruction ? ",True" : ",False").Append('\n');
        }

        return AtomicFile.WriteText(path, text.ToString());

        void Append(params ReadOnlySpan<double> values)
        {
            foreach (double value in values)
            {
                text.Append(',').Append(CsvNumbers.Write(value));
            }
        }
    }

    public static LatentRow[] Read(string path)
    {
        string[] lines = File.ReadAllLines(path);
        string header = lines.FirstOrDefault("");
        bool partitioned = header.EndsWith(Construction, StringComparison.Ordinal), system = header.Contains(System, StringComparison.Ordinal);
        if (header != Header + (system ? System : "") + (partitioned ? Construction : ""))
        {
            throw new DiffractException($"{path} does not begin with the columns of a latent table; run `diffract latents --fresh`");
        }

        int columns = 23 + (system ? 1 : 0) + (partitioned ? 1 : 0);
        LatentRow[] rows = new LatentRow[lines.Length - 1];
        for (int i = 0; i < rows.Length; i++)
        {
            string[] f = lines[i + 1].Split(',');
            if (f.Length != columns || LatentClasses.Parse(f[1]) is not { } latentClass || f[0] != i.ToString(CultureInfo.InvariantCulture))
            {
                throw new DiffractException($"{path} line {i + 2} is not the row of latent {i}: changed or damaged; run `diffract latents --fresh`");
            }

            double[] n = [.. f.Skip(3).Take(system ? 21 : 20).Select(text => CsvNumbers.Read(text, path, i + 2))];
            rows[i] = new LatentRow(
                i, n[2], n[3], n[0], n[4], n[7], n[8], n[5], n[9], latentClass, (long)n[10], n[11], new RoleRates(n[12], n[13], n[14], n[15], n[16]) { System = system ? n[20] : double.NaN },
                n[17], n[18], n[19], f[2] == "True")
            {
                ByConstruction = partitioned && f[^1] == "True",
            };
        }

        return rows;
    }
}

using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>The latent table of any dictionary from its weights alone (spec 4.1), under the published names.</summary>
public static class LooseLatents
{
    /// <param name="backend">Where kernels run.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="settings">What to do.</param>
    /// <param name="stop">Ctrl-C.</param>
    /// <exception cref="DiffractException">Dictionaries that cannot be compared, or a table of another number of latents.</exception>
    public static void Run(IBackend backend, IProgressSink progress, LooseLatentsSettings settings, CancellationToken stop)
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(settings.Folder, backend);
        FeatureTable table = settings.Table is { } given ? FeatureTable.Read(given) : new FeatureTable(crosscoder.Latents);
        if (table.Latents != crosscoder.Latents)
        {
            throw new DiffractException($"{settings.Table} has {table.Latents} rows, {settings.Folder} has {crosscoder.Latents} latents; the two do not belong together");
        }

        int foreign = table.Columns.Count;
        string classes = crosscoder.Config.Sae ? AddSae(table, crosscoder) : AddPair(table, crosscoder, settings.Folder);
        foreign = Math.Max(0, foreign - Known.Count(table.Has));
        if (settings.Against is { } against)
        {
            AddAgainst(backend, progress, table, crosscoder, settings.Folder, against, stop);
        }

        if (settings.Sets is { } sets)
        {
            if (crosscoder.Config.Sae)
            {
                throw DiffractException.Argument($"--sets needs decoder norms of two models; {settings.Folder} is an SAE of one");
            }

            new IndexSets(table.Numbers("dec_norm_diff"), settings.Lowest, settings.Sample, settings.Seed).Write(sets, progress);
        }

        string seen = settings.Activations is { } activations ? "; " + LatentScan.Add(backend, progress, settings, activations, table, stop) : "";
        table.Write(settings.Out);
        progress.Done("latents", $"{crosscoder.Latents} latents, {classes}{(foreign > 0 ? $"; {foreign} other columns kept" : "")}{seen}; delta_norm 1 is chat-only, dec_norm_diff 0 is chat-only; {settings.Out}");
    }

    static readonly string[] Known = ["tag", "delta_norm", "dec_norm_diff", "dec_base_norm", "dec_instruct_norm", "dec_cos_sim", "enc_delta_norm", "enc_norm_diff", "enc_base_norm", "enc_instruct_norm", "enc_cos_sim", "dec_norm", "enc_norm"];

    static string AddPair(FeatureTable table, Crosscoder crosscoder, string folder)
    {
        if (crosscoder.Models != 2)
        {
            throw new DiffractException($"{folder} has {crosscoder.Models} models; the latent table compares two, base and chat");
        }

        LatentVectors[] decoder = Of(crosscoder.WDec_LE, crosscoder), encoder = Of(crosscoder.WEnc_LE, crosscoder);
        LatentClass[] classes = [.. decoder.Select((v, j) => crosscoder.Config.Partitioned ? LatentClasses.Of(v.Delta, crosscoder.Config.DesignatedModel(j)) : LatentClasses.Of(v.Delta))];
        table.Set("tag", classes.Select(LatentClasses.Tag));
        // Both conventions side by side: Delta-norm and its complement, as published tables have it.
        table.Set("delta_norm", decoder.Select(v => v.Delta));
        table.Set("dec_norm_diff", decoder.Select(v => 1 - v.Delta));
        table.Set("dec_base_norm", decoder.Select(v => v.BaseNorm));
        table.Set("dec_instruct_norm", decoder.Select(v => v.ChatNorm));
        table.Set("dec_cos_sim", decoder.Select(v => v.Cosine));
        table.Set("enc_delta_norm", encoder.Select(v => v.Delta));
        table.Set("enc_norm_diff", encoder.Select(v => 1 - v.Delta));
        table.Set("enc_base_norm", encoder.Select(v => v.BaseNorm));
        table.Set("enc_instruct_norm", encoder.Select(v => v.ChatNorm));
        table.Set("enc_cos_sim", encoder.Select(v => v.Cosine));
        if (crosscoder.Config.Partitioned)
        {
            table.Set("by_construction", Enumerable.Range(0, crosscoder.Latents).Select(j => crosscoder.Config.DesignatedModel(j) is not null));
        }

        int Count(LatentClass c) => classes.Count(x => x == c);
        return $"{Count(LatentClass.ChatOnly)} chat-only, {Count(LatentClass.BaseOnly)} base-only, {Count(LatentClass.Shared)} shared, {Count(LatentClass.Other)} other"
            + $"{(decoder.Count(v => double.IsNaN(v.Delta)) is > 0 and int none ? $" ({none} of them without a norm: NaN)" : "")}";
    }

    static LatentVectors[] Of(Matrix w_LE, Crosscoder crosscoder) => [.. Enumerable.Range(0, crosscoder.Latents).Select(j => LatentVectors.Of(w_LE, crosscoder.ModelOffsets, j))];

    static string AddSae(FeatureTable table, Crosscoder sae)
    {
        IEnumerable<double> Norms(Matrix w_LD) => Enumerable.Range(0, sae.Latents).Select(j => Math.Sqrt(LatentVectors.Dot(w_LD.Row(j), w_LD.Row(j))));
        table.Set("dec_norm", Norms(sae.WDec_LE));
        table.Set("enc_norm", Norms(sae.WEnc_LE));
        return "of an SAE, which has no norm difference";
    }

    static void AddAgainst(IBackend backend, IProgressSink progress, FeatureTable table, Crosscoder crosscoder, string folder, string against, CancellationToken stop)
    {
        using Crosscoder other = CrosscoderFolder.Load(against, backend);
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(against))).Replace(',', '_').Replace('"', '_');
        foreach ((string model, Matrix from_LD, Matrix to_ND) in Spaces(crosscoder, other))
        {
            if (from_LD.Columns != to_ND.Columns)
            {
                throw new DiffractException($"{folder} and {against} read {model} activations of width {from_LD.Columns} and {to_ND.Columns}; cosines want one space");
            }

            (double Cosine, int Row)[] best = MaxCosine.Of(backend, from_LD, to_ND, progress, "cosines", stop);
            table.Set($"max_cos_{model}_to_{name}", best.Select(b => b.Cosine));
            table.Set($"max_cos_{model}_latent_{name}", best.Select(b => (double)b.Row));
        }
    }

    /// <summary>Decoder rows that live in one space: of two crosscoders model by model, of an SAE its own against those of the chat model.</summary>
    static IEnumerable<(string Model, Matrix From_LD, Matrix To_ND)> Spaces(Crosscoder a, Crosscoder b)
    {
        Matrix Of(Crosscoder c, int model)
            => c.Config.Sae ? c.WDec_LE : c.WDec_LE.SliceColumns(c.ModelOffsets[model], c.ModelOffsets[model + 1] - c.ModelOffsets[model]);
        yield return ("chat", Of(a, 1), Of(b, 1));
        if (!a.Config.Sae && !b.Config.Sae)
        {
            yield return ("base", Of(a, 0), Of(b, 0));
        }
    }
}

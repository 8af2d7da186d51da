using System.Diagnostics;
using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Latents;

/// <summary>
/// The latents stage: one pass over the held-out documents, whose sparse activations go to disk, and a table with a row per latent. Rates, maxima and means are of held-out
/// tokens only, activations in scaled units. A stopped stage starts again: it is one encode a token.
/// </summary>
public static class LatentsStage
{
    const int BatchRows = 1024;

    /// <summary>Bytes on disk of an active pair: latent or token and value, by token and by latent, and as much again while sorting.</summary>
    const double BytesPerPair = 32;

    /// <exception cref="DiffractException">Inputs missing, stale or foreign; other than two models; no threshold; a disk too small; a value that is not finite.</exception>
    public static void Run(StageContext context, LatentsSettings settings)
    {
        RunFolder run = context.Run;
        using ScanInputs inputs = ScanInputs.Open(run, settings.Name, context.Backend, context.Memory);
        Crosscoder crosscoder = inputs.Crosscoder;
        Check(crosscoder, settings);
        string folder = run.Latents(settings.Name);
        StageManifest plan = new()
        {
            Stage = "latents",
            Settings = new JsonObject { ["name"] = settings.Name, ["layer"] = ScanInputs.LayerOf(inputs.Manifest, settings.Name), ["split"] = "heldOut", ["deadBelow"] = LatentClasses.DeadBelow },
            Inputs = inputs.Fingerprints,
        };
        if (context.AlreadyDone(folder, plan))
        {
            context.Progress.Done("latents", $"{run.Relative(folder)} is there already");
            return;
        }

        Stopwatch clock = Stopwatch.StartNew();
        IReadOnlyList<TokenDocument> documents = inputs.Documents(Split.HeldOut);
        Announce(context, inputs, documents, folder);
        LatentCounts counts = new(crosscoder.Latents);
        FileSeal activations = Scan(context, inputs, documents, folder, counts);
        LatentRow[] rows = [.. Enumerable.Range(0, crosscoder.Latents).Select(j => counts.Row(
            j, LatentVectors.Of(crosscoder.WDec_LE, crosscoder.ModelOffsets, j), LatentVectors.Of(crosscoder.WEnc_LE, crosscoder.ModelOffsets, j)))];
        rows = Designate(rows, crosscoder.Config);
        FileSeal table = LatentTable.Write(Path.Combine(folder, LatentTable.FileName), rows);
        context.Finish(folder, plan with
        {
            Outputs = new() { [LatentActivations.FileName] = activations, [LatentTable.FileName] = table },
            Facts = Facts(rows, counts, documents.Count, crosscoder),
            Seconds = clock.Elapsed.TotalSeconds,
        });
        context.Progress.Done("latents", FormattableString.Invariant(
            $"{settings.Name}: {rows.Length} latents, {rows.Count(r => r.Class == LatentClass.ChatOnly)} chat-only and {rows.Count(r => r.Class == LatentClass.BaseOnly)} base-only {(crosscoder.Config.Partitioned ? "by construction (a designated partition, no finding)" : "by norm")}, ")
            + FormattableString.Invariant($"{rows.Count(r => r.Dead)} dead, {(double)counts.Pairs / counts.Tokens:F1} active a token over {counts.Tokens} held-out tokens"));
    }

    static void Check(Crosscoder crosscoder, LatentsSettings settings)
    {
        if (crosscoder.Models != 2)
        {
            throw new DiffractException($"crosscoder {settings.Name} has {crosscoder.Models} models; the latent table compares two, base and chat");
        }

        if (crosscoder.ThresholdUnset && !settings.AllowUnsetThreshold)
        {
            throw new DiffractException(
                $"crosscoder {settings.Name} has no threshold yet (it is set late in training), so that its code would be dense; train it further, or give --allow-unset-threshold");
        }
    }

    static void Announce(StageContext context, ScanInputs inputs, IReadOnlyList<TokenDocument> documents, string folder)
    {
        long tokens = documents.Sum(d => (long)d.Rows);
        double perToken = (double?)inputs.Manifest.Facts["l0"] ?? (inputs.Crosscoder.Config.Kind == CrosscoderKind.BatchTopK ? inputs.Crosscoder.Config.K : 0);
        double megabytes = tokens * (perToken * BytesPerPair + sizeof(long) + 1) / 1e6, free = new DriveInfo(folder).AvailableFreeSpace / 1e6;
        context.Progress.Line(FormattableString.Invariant(
            $"latents: {inputs.Name}, {inputs.Crosscoder.Latents} latents over {tokens} held-out tokens of {documents.Count} documents, about {megabytes:F0} MB on disk while it works"));
        if (megabytes > free)
        {
            throw new DiffractException(FormattableString.Invariant(
                $"latents needs about {megabytes:F0} MB in {folder}, {free:F0} MB are free; free some space, or tokenise fewer tokens in another run"));
        }
    }

    static FileSeal Scan(StageContext context, ScanInputs inputs, IReadOnlyList<TokenDocument> documents, string folder, LatentCounts counts)
    {
        Crosscoder crosscoder = inputs.Crosscoder;
        long total = documents.Sum(d => (long)d.Rows);
        Matrix buffer_BE = context.Backend.Matrix(BatchRows, crosscoder.E);
        using IBuffer owner = buffer_BE.Buffer;
        using SparseCode code = crosscoder.NewCode(BatchRows);
        using LatentActivationsWriter writer = new(folder, crosscoder.Latents, documents, inputs.Tokens);
        byte[] roles_B = new byte[BatchRows];
        using DictionaryInput input = new(crosscoder, null, null);
        Matrix scale_L = crosscoder.Scale_L;
        using HostBuffer? ones = crosscoder.Decoupled ? new HostBuffer(ElementType.Float32, crosscoder.Latents) : null;
        if (ones is not null)
        {
            // A pair's scale depends on the models in which it is active, so its value is scaled by itself.
            ones.Span<float>().Fill(1);
            scale_L = new Matrix(ones, 1, crosscoder.Latents, crosscoder.Latents);
        }

        foreach (ScanBatch batch in new DocumentScan(inputs.Activations.Read, crosscoder.ModelOffsets, buffer_BE, inputs.Tokens).Batches(documents))
        {
            context.Stop.ThrowIfCancellationRequested();
            foreach (ScanPiece piece in batch.Pieces)
            {
                inputs.Tokens.RowRoles(piece.Document, piece.FirstKept, roles_B.AsSpan(piece.FirstRow, piece.Count));
            }

            crosscoder.Encode(batch.Acts_BE, code);
            if (ones is not null)
            {
                input.ScaleValues(code);
            }

            counts.Add(code, scale_L, roles_B);
            writer.Add(code, scale_L, roles_B);
            context.Progress.Report("latents", counts.Tokens, total, "tokens");
        }

        return writer.Save(context.Stop);
    }

    /// <summary>Under a designated partition the norms say what the masks made them say: the class is the designation.</summary>
    static LatentRow[] Designate(LatentRow[] rows, CrosscoderConfig config) => !config.Partitioned ? rows :
    [
        .. rows.Select(r => r with { Class = LatentClasses.Of(r.DeltaNorm, config.DesignatedModel(r.Latent)), ByConstruction = config.DesignatedModel(r.Latent) is not null }),
    ];

    static JsonObject Facts(LatentRow[] rows, LatentCounts counts, int documents, Crosscoder crosscoder)
    {
        JsonObject facts = Facts(rows, counts, documents, crosscoder.Normalisation);
        if (crosscoder.Config.Partitioned)
        {
            facts["partition"] = FormattableString.Invariant(
                $"the first {crosscoder.Config.BaseOnly} latents are base-only and the next {crosscoder.Config.ChatOnly} chat-only by construction (masks): their Delta-norm, tag and class were decided before training and are no finding");
        }

        return facts;
    }

    static JsonObject Facts(LatentRow[] rows, LatentCounts counts, int documents, ActivationNorm? normalisation) => new()
    {
        ["normUnits"] = normalisation is null
            ? "decoder norms, and Delta-norm with them, are in units of raw activations"
            : normalisation.OnlyScales
            ? FormattableString.Invariant(
                $"decoder norms, and Delta-norm with them, are in the units that the crosscoder was trained in: activations times {string.Join(" and ", normalisation.Scale_M)}")
            : FormattableString.Invariant(
                $"decoder norms, and Delta-norm with them, are in units of normalised activations (root mean square {normalisation.TargetRms} by model); one raw unit is {string.Join(" and ", normalisation.Scale_M)} of them"),
        ["documents"] = documents,
        ["tokens"] = counts.Tokens,
        ["l0"] = (double)counts.Pairs / counts.Tokens,
        ["dead"] = rows.Count(r => r.Dead),
        ["chatOnly"] = rows.Count(r => r.Class == LatentClass.ChatOnly),
        ["baseOnly"] = rows.Count(r => r.Class == LatentClass.BaseOnly),
        ["shared"] = rows.Count(r => r.Class == LatentClass.Shared),
        ["other"] = rows.Count(r => r.Class == LatentClass.Other),
        ["units"] = "activations are scaled: code times code norm; rates, maxima and means are of held-out tokens",
        ["conventions"] = "delta_norm: 1 = chat-only; dec_norm_diff = 1 - delta_norm, as published: 0 = chat-only",
    };
}

using System.Diagnostics;
using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Scaling;

/// <summary>
/// The scale stage: one sparse pass over the scaling split gives all eight betas and both ratios of every latent, with jackknife errors over blocks of documents, and the verdicts.
/// Finished blocks are kept, so that a stopped stage goes on where it was.
/// </summary>
public static class ScaleStage
{
    /// <summary>In the stage folder: sums, betas and block sums as tensors.</summary>
    public const string TensorsFile = "scaling.safetensors";

    const int BatchRows = 1024;

    /// <exception cref="DiffractException">Inputs missing, stale or foreign; models that cannot be compared; no threshold; a value that is not finite.</exception>
    public static void Run(StageContext context, ScaleSettings settings)
    {
        RunFolder run = context.Run;
        using ScanInputs inputs = ScanInputs.Open(run, settings.Name, context.Backend, context.Memory);
        Crosscoder crosscoder = inputs.Crosscoder;
        ScalingModels.Check(crosscoder, settings.Name, settings.AllowUnsetThreshold);
        int? codeModel = CodeModel(crosscoder, settings);
        string folder = run.Scaling(settings.Name);
        StageManifest plan = new()
        {
            Stage = "scale",
            Settings = new JsonObject
            {
                ["name"] = settings.Name,
                ["layer"] = ScanInputs.LayerOf(inputs.Manifest, settings.Name),
                ["split"] = "scaling",
                ["blocks"] = settings.Blocks,
                ["chatOnlyAbove"] = LatentClasses.ChatOnlyAbove,
                ["nuErrorBelow"] = Verdicts.NuErrorBelow,
                ["nuReconstructionBelow"] = Verdicts.NuReconstructionBelow,
                ["fewestActivations"] = Verdicts.FewestActivations,
            },
            Inputs = inputs.Fingerprints,
        };
        if (codeModel is { } part)
        {
            plan.Settings["code"] = ScalingTargets.Models[part];
        }

        if (context.AlreadyDone(folder, plan))
        {
            context.Progress.Done("scale", $"{run.Relative(folder)} is there already");
            return;
        }

        Stopwatch clock = Stopwatch.StartNew();
        IReadOnlyList<TokenDocument> documents = inputs.Documents(Split.Scaling);
        int[] starts = DocumentBlocks.Split([.. documents.Select(d => d.Rows)], settings.Blocks);
        long tokens = documents.Sum(d => (long)d.Rows);
        context.Progress.Line(FormattableString.Invariant(
            $"scale: {settings.Name}, all eight targets of {crosscoder.Latents} latents in one pass over {tokens} tokens of {documents.Count} documents in {starts.Length - 1} blocks"));
        using RawDecoder raw = new(crosscoder);
        using BetaSums sums = new(context.Backend.Scaling, BetaSums.Directions(raw.WDec_LE, crosscoder.ModelOffsets), null, crosscoder.ModelOffsets, starts.Length - 1, codeModel);
        Sum(context, inputs, documents, starts, folder, sums);
        LatentProducts products = new(raw.WDec_LE, raw.BDec_E, crosscoder.ModelOffsets);
        ScalingRow[] rows = ScalingRows.From(sums, products, crosscoder.WDec_LE, crosscoder.ModelOffsets);
        SafetensorsWriter writer = new();
        ScalingTensors.Add(writer, sums, products);
        ScalingTensors.AddBlocks(writer, sums);
        context.Finish(folder, plan with
        {
            Outputs = new()
            {
                [ScalingTable.FileName] = ScalingTable.Write(Path.Combine(folder, ScalingTable.FileName), rows),
                [TensorsFile] = writer.Save(Path.Combine(folder, TensorsFile)),
            },
            Facts = Facts(rows, documents.Count, tokens, starts.Length - 1),
            Seconds = clock.Elapsed.TotalSeconds,
        });
        BlockFile.Clear(folder);
        context.Progress.Done("scale", Summary(settings.Name, rows));
    }

    /// <summary>The model whose part of a decoupled code is scaled: the chat model's unless said.</summary>
    static int? CodeModel(Crosscoder crosscoder, ScaleSettings settings)
    {
        if (!crosscoder.Decoupled)
        {
            return settings.Code is null ? null : throw DiffractException.Argument($"--code {settings.Code} is for a decoupled code; crosscoder {settings.Name} has one code for both models");
        }

        int model = ScalingTargets.Models.ToList().IndexOf(settings.Code ?? ScalingTargets.Models[1]);
        return model >= 0 ? model : throw DiffractException.Argument($"--code {settings.Code} is no model; wanted base or chat");
    }

    static void Sum(StageContext context, ScanInputs inputs, IReadOnlyList<TokenDocument> documents, int[] starts, string folder, BetaSums sums)
    {
        Crosscoder crosscoder = inputs.Crosscoder;
        Matrix buffer_BE = context.Backend.Matrix(BatchRows, crosscoder.E), recon_BE = context.Backend.Matrix(BatchRows, crosscoder.E);
        using IBuffer buffer = buffer_BE.Buffer, recon = recon_BE.Buffer;
        using SparseCode code = crosscoder.NewCode(BatchRows);
        DocumentScan scan = new(inputs.Activations.Read, crosscoder.ModelOffsets, buffer_BE, inputs.Tokens);
        long done = 0, total = documents.Sum(d => (long)d.Rows);
        for (int block = 0; block < sums.Blocks; block++)
        {
            TokenDocument[] ofBlock = [.. documents.Skip(starts[block]).Take(starts[block + 1] - starts[block])];
            if (sums.Restore(block, span => BlockFile.TryRead(folder, block, span)))
            {
                done += ofBlock.Sum(d => (long)d.Rows);
                continue;
            }

            foreach (ScanBatch batch in scan.Batches(ofBlock))
            {
                context.Stop.ThrowIfCancellationRequested();
                Matrix reconOf_BE = recon_BE.SliceRows(0, batch.Acts_BE.Rows);
                crosscoder.Encode(batch.Acts_BE, code);
                crosscoder.Decode(code, reconOf_BE);
                sums.Add(block, code, batch.Acts_BE, reconOf_BE);
                done += batch.Acts_BE.Rows;
                context.Progress.Report("scale", done, total, "tokens");
            }

            BlockFile.Write(folder, block, sums);
        }
    }

    static JsonObject Facts(ScalingRow[] rows, int documents, long tokens, int blocks)
    {
        JsonObject verdicts = [];
        foreach (Verdict verdict in Enum.GetValues<Verdict>())
        {
            verdicts[Verdicts.Name(verdict)] = rows.Count(r => r.Verdict == verdict);
        }

        return new JsonObject { ["documents"] = documents, ["tokens"] = tokens, ["blocks"] = blocks, ["verdicts"] = verdicts };
    }

    static string Summary(string name, ScalingRow[] rows)
    {
        int Count(Verdict verdict) => rows.Count(r => r.Verdict == verdict);
        return $"{name}: of {rows.Length - Count(Verdict.NotChatOnly)} latents that look chat-only, {Count(Verdict.ChatSpecific)} are chat-specific, {Count(Verdict.CompleteShrinkage)} complete shrinkage, "
            + $"{Count(Verdict.Decoupling)} decoupling, {Count(Verdict.Both)} both, {Count(Verdict.Undecided)} undecided";
    }
}

using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Crosscoders;
using Diffract.Formats.Hub;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Training;

/// <summary>
/// Takes the place of training for a crosscoder that somebody else trained: the folder is checked against the run's activations (models, widths), validated on held-out tokens and copied to
/// <c>crosscoders/&lt;name&gt;/</c>, so that every later stage treats it as its own.
/// </summary>
public static class ImportStage
{
    /// <summary>The name that a folder gets in the run: its own.</summary>
    public static string NameOf(string folder) => HubName.Of(folder).Replace('/', '-');

    /// <param name="context">The run.</param>
    /// <param name="folder">The crosscoder's folder, in any published layout.</param>
    /// <param name="layer">Layer whose activations it is held against.</param>
    public static void Run(StageContext context, string folder, int layer)
    {
        string name = NameOf(folder), target = context.Run.Crosscoder(name);
        using TokenStore tokens = TokenStore.Open(context.Run);
        using ActivationStore store = ActivationStore.Open(context.Run, layer);
        using Crosscoder crosscoder = CrosscoderFolder.Load(folder, context.Backend);
        Check(folder, crosscoder, store.Widths);
        StageManifest plan = new()
        {
            Stage = "train",
            Settings = new JsonObject
            {
                ["loaded"] = Path.GetFullPath(folder),
                ["seal"] = AtomicFile.Seal(FolderFiles.Find(folder).Weights).Xxh128,
                ["layer"] = layer,
                ["kind"] = crosscoder.Config.Kind.Name(),
                ["latents"] = crosscoder.Latents,
                ["k"] = crosscoder.Config.Kind == CrosscoderKind.BatchTopK ? crosscoder.Config.K : null,
                ["codeNorm"] = CodeNormIds.Name(crosscoder.Config.CodeNorm.Kind),
                ["validationTokens"] = Preset.Demo.ValidationTokens,
            },
            Inputs =
            {
                [context.Run.Relative(context.Run.Tokens)] = tokens.Manifest.Fingerprint(),
                [context.Run.Relative(context.Run.Activations(layer))] = store.Manifest.Fingerprint(),
            },
        };
        if (context.AlreadyDone(target, plan))
        {
            context.Progress.Done("train", $"crosscoder {name} is there already");
            return;
        }

        long validationTokens = Preset.Demo.ValidationTokens;
        ValidationResult result = new Validation(new HeldOutRows(store, tokens, validationTokens), validationTokens).Run(crosscoder, context.Stop);
        JsonObject facts = result.ToJson();
        facts["threshold"] = crosscoder.Config.Kind == CrosscoderKind.BatchTopK ? crosscoder.Threshold : null;
        context.Finish(target, plan with { Outputs = CrosscoderFolder.Save(target, crosscoder), Facts = facts });
        context.Progress.Done("train", string.Create(
            CultureInfo.InvariantCulture,
            $"{name}: loaded from {folder}, not trained; on {result.Tokens:N0} held-out tokens variance explained {result.FvePooled:F3}, L0 {result.L0:F1}, dead {result.DeadShare:P1}"));
    }

    /// <summary>Refuses a crosscoder of other models, so that a run need not harvest to find out.</summary>
    /// <param name="folder">Where it lies, for the message.</param>
    /// <param name="crosscoder">The crosscoder.</param>
    /// <param name="widths">Width of each model of the run.</param>
    public static void Check(string folder, Crosscoder crosscoder, IReadOnlyList<int> widths)
    {
        if (crosscoder.Models != widths.Count)
        {
            throw new DiffractException($"crosscoder {folder} has {crosscoder.Models} models, the run has {widths.Count}; choose one that was trained on a pair");
        }

        if (!crosscoder.Config.Widths.SequenceEqual(widths))
        {
            throw new DiffractException(
                $"crosscoder {folder} has the widths {string.Join(" + ", crosscoder.Config.Widths)}, the run's models {string.Join(" + ", widths)}; choose one that was trained on these models");
        }
    }
}

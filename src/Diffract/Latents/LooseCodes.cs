using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Latents;

/// <summary>A dictionary's codes of a loose file of paired activations, a batch at a time.</summary>
public sealed class LooseCodes : IDisposable
{
    /// <summary>Most rows of a batch.</summary>
    public const int BatchRows = 1024;

    readonly LooseActivations _pairs;

    LooseCodes(DictionaryInput input, LooseActivations pairs) => (Input, _pairs) = (input, pairs);

    /// <summary>The dictionary and what it reads.</summary>
    public DictionaryInput Input { get; }

    public Crosscoder Crosscoder => Input.Crosscoder;

    /// <summary>N.</summary>
    public int Rows => _pairs.Rows;

    /// <summary>Opens both and proves that they belong together.</summary>
    /// <param name="backend">Where kernels run.</param>
    /// <param name="progress">Told what input scale was taken.</param>
    /// <param name="request">What to open.</param>
    /// <param name="verb">Begins lines and messages.</param>
    /// <param name="codeNeeded">Whether a decoupled code wants --code.</param>
    /// <param name="stop">Ctrl-C.</param>
    /// <exception cref="DiffractException">Shapes that do not fit, values that are not finite, options that do not fit the dictionary, no threshold.</exception>
    public static LooseCodes Open(IBackend backend, IProgressSink progress, LooseReading request, string verb, bool codeNeeded, CancellationToken stop)
    {
        Crosscoder crosscoder = CrosscoderFolder.Load(request.Folder, backend);
        try
        {
            (SaeTarget? target, int? code) = Reading(crosscoder, request, verb, codeNeeded);
            if (crosscoder.ThresholdUnset && !request.AllowUnsetThreshold)
            {
                throw new DiffractException(
                    $"{request.Folder} has no threshold yet (it is set late in training), so that its code would be dense; train it further, or give --allow-unset-threshold");
            }

            if (!crosscoder.Config.Sae && crosscoder.Models != 2)
            {
                throw new DiffractException($"{request.Folder} has {crosscoder.Models} models; {verb} compares two, base and chat");
            }

            DictionaryInput input = new(crosscoder, target, code);
            CrosscoderConfig pair = crosscoder.Config.Sae ? new(CrosscoderKind.L1, crosscoder.Latents, [crosscoder.E, crosscoder.E]) : crosscoder.Config;
            LooseActivations acts = LooseActivations.Read(request.Activations, pair, request.Folder);
            if (acts.Rows == 0)
            {
                throw new DiffractException($"{request.Activations} holds no tokens; wanted one at least");
            }

            IBatchSource read = target is { } of ? new TargetBatches(acts, of) : acts;
            InputScaling.Apply(crosscoder, request.Folder, request.InputScale, read, read, verb, progress, stop);
            return new LooseCodes(input, acts);
        }
        catch
        {
            crosscoder.Dispose();
            throw;
        }
    }

    /// <summary>Copies rows <paramref name="first"/> on into a matrix [B, E].</summary>
    public void Copy(int first, Matrix pairs_BE) => _pairs.Copy(first, pairs_BE);

    /// <summary>Takes the rows first .. first + count - 1 in batches: the first row of each, its activations [B, E] and its code.</summary>
    /// <param name="first">First row.</param>
    /// <param name="count">Rows.</param>
    /// <param name="whole">Keep all models' parts of a decoupled code, whatever was chosen.</param>
    /// <param name="each">Sees each batch; both are valid until it returns.</param>
    /// <param name="stop">Ctrl-C.</param>
    public void ForEach(int first, int count, bool whole, Action<int, Matrix, SparseCode> each, CancellationToken stop)
    {
        Matrix acts_BE = Crosscoder.Backend.Matrix(BatchRows, Input.PairOffsets[^1]);
        using IBuffer owner = acts_BE.Buffer;
        using SparseCode code = Crosscoder.NewCode(BatchRows);
        for (int row = first; row < first + count; row += BatchRows)
        {
            stop.ThrowIfCancellationRequested();
            Matrix part_BE = acts_BE.SliceRows(0, Math.Min(BatchRows, first + count - row));
            _pairs.Copy(row, part_BE);
            if (whole)
            {
                Input.EncodeWhole(part_BE, code);
            }
            else
            {
                Input.Encode(part_BE, code);
            }

            each(row, part_BE, code);
        }
    }

    public void Dispose()
    {
        Input.Dispose();
        Crosscoder.Dispose();
    }

    static (SaeTarget? Target, int? Code) Reading(Crosscoder crosscoder, LooseReading request, string verb, bool codeNeeded)
    {
        int? code = request.Code is null ? null : LooseReading.Models.ToList().IndexOf(request.Code);
        if (code < 0)
        {
            throw DiffractException.Argument($"--code {request.Code} is no model; wanted base or chat");
        }

        SaeTarget? difference = request.Difference switch
        {
            null => null,
            "base-chat" => SaeTarget.DifferenceBc,
            "chat-base" => SaeTarget.DifferenceCb,
            _ => throw DiffractException.Argument($"--difference {request.Difference} is no difference; wanted chat-base or base-chat"),
        };
        if (crosscoder.Config.Sae)
        {
            return code is not null && difference is not null
                ? throw DiffractException.Argument($"--code {request.Code} and --difference {request.Difference} say two things that {request.Folder} should read; give one")
                : (difference ?? (code == 0 ? SaeTarget.Base : SaeTarget.Chat), null);
        }

        if (difference is not null)
        {
            throw DiffractException.Argument($"--difference {request.Difference} is for an SAE; {request.Folder} is a crosscoder, which reads both models");
        }

        if (!crosscoder.Decoupled && code is not null)
        {
            throw DiffractException.Argument($"--code {request.Code} is for a decoupled code or an SAE; {request.Folder} has one code for both models");
        }

        return crosscoder.Decoupled && code is null && codeNeeded
            ? throw DiffractException.Argument($"{request.Folder} is decoupled: it has a code for each model, and {verb} takes one; give --code base or --code chat")
            : (null, code);
    }
}

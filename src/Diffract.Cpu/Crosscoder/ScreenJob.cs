using System.Runtime.InteropServices;

namespace Diffract.Cpu.Crosscoder;

/// <summary>What a screened call has beside its <see cref="EncodeJob"/>.</summary>
unsafe struct ScreenJob
{
    /// <summary>Pairs of a row: E/2, rounded up.</summary>
    public int Pairs;

    /// <summary>Width of a panel.</summary>
    public int Columns;

    /// <summary>[panel][pairs][columns].</summary>
    public int* Panels;

    /// <summary>By token, up to whole panels: the scale and the two norms of <see cref="Int16Row"/>.</summary>
    public float* TokenScale;
    public float* TokenNorm;
    public float* TokenResidual;

    /// <summary>Per worker [columns][pairs]: the rows of a panel before they are packed.</summary>
    public int* TokenRows;

    /// <summary>Per worker [block's latents][pairs].</summary>
    public int* LatentRows;

    /// <summary>Beside <see cref="EncodeJob.BinValues"/>, which holds lower bounds: upper bounds.</summary>
    public float* BinHighs;

    /// <summary>Only pairs whose q can reach it are rescored.</summary>
    public float Cut;

    /// <summary>[threads].</summary>
    public ScreenWorker* Workers;
}

/// <summary>What one worker has seen; a cache line of its own.</summary>
[StructLayout(LayoutKind.Sequential, Size = 128)]
struct ScreenWorker
{
    /// <summary>1 where an infinity or NaN was met.</summary>
    public int NotFinite;

    /// <summary>Pairs whose lower bound reaches the floor.</summary>
    public long Sure;

    /// <summary>Largest ‖x‖, ‖w‖ and |bias|.</summary>
    public double TokenNorm;
    public double LatentNorm;
    public double Bias;
}

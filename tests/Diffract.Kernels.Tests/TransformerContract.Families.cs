using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Kernels.Tests;

/// <content>What only some families of models need.</content>
public sealed partial class TransformerContract
{
    [Theory]
    [MemberData(nameof(Names))]
    public void Heads_are_normed_one_by_one(string name)
    {
        foreach ((int heads, int width) in new[] { (4, 24), (1, 37), (7, 5) })
        {
            Matrix x = Draw.Acts(70, heads * width, 2), w = Draw.Acts(1, width, 3);
            Check(name, Tolerance.Elementwise, 70, heads * width, (k, result) => k.RmsNorm(x, w, 1, 1e-6f, result));
            Check(name, Tolerance.Elementwise, 70, heads * width, (k, result) => k.AddRmsNorm(x, w, 1, 1e-6f, result));
        }
    }

    /// <summary>x = (1, 3): mean 2, variance 1, so (-1, 1)/√(1 + 3) = (-½, ½), times (2, 4), plus (10, 20).</summary>
    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void A_layer_norm_by_hand(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        Matrix x = Draw.Of(1, 3), result = Matrix.Host(1, 2);
        backend.Transformer.LayerNorm(x, Draw.Of(2, 4), Draw.Of(10, 20), 3, result);
        Assert.Equal([9f, 22f], Draw.Floats(result));
        // A mean far above the spread keeps the spread.
        backend.Transformer.LayerNorm(Draw.Of(4001, 4003), Draw.Of(2, 4), Draw.Of(10, 20), 3, result);
        Assert.Equal([9f, 22f], Draw.Floats(result));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_part_of_each_head_may_turn(string name)
    {
        foreach ((int head, int turning) in new[] { (24, 8), (80, 20), (16, 2), (40, 38) })
        {
            Matrix table = Draw.Acts(90, turning, 7), x = Draw.Acts(70, 3 * head, 8);
            int[] positions = [.. Enumerable.Range(0, 70).Select(i => (i * 13) % 90)];
            Check(name, Tolerance.Elementwise, 70, 3 * head, (k, result) =>
            {
                k.Copy(x, result);
                k.Rope(result, head, positions, table);
                Assert.Equal(Draw.Floats(x.SliceColumns(head + turning, head - turning)), Draw.Floats(result.SliceColumns(head + turning, head - turning)));
            });
        }
    }

    /// <summary>x·Φ(x), from a table of the normal distribution.</summary>
    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void The_exact_gelu_by_hand(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        Matrix x = Draw.Of(0, 1, -1, 2, -3, 4, -6);
        backend.Transformer.Activate(x, Activation.Gelu);
        double[] wanted = [0, 0.8413447460685429, -0.15865525393145707, 2 * 0.9772498680518208, -3 * 0.0013498980316300933, 4 * 0.9999683287581669, -6 * 9.865876450376946e-10];
        for (int i = 0; i < wanted.Length; i++)
        {
            Assert.Equal(wanted[i], x.Row(0)[i], 4e-6 * Math.Abs(wanted[i]));
        }
    }
}

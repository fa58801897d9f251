//! Chinese, in simplified letters.

use super::{Texts, words};

pub(super) const TEXTS: Texts = Texts {
    unauthorized: words("请先登录", "您尚未登录，或登录已过期。"),
    sign_in: "登录",
    forbidden: words("此账号暂时没有访问权限", "您登录的账号没有访问权限。"),
    forbidden_as: "您当前登录的账号是 {address}。",
    ask: "请联系管理这些照片的人添加此账号。",
    other_account: "使用其他账号",
    too_large: words("文件太大", "通过互联网，每次上传最多 {limit}。"),
    upload_in_parts: "分段上传",
    at_home: "在家中没有此限制：",
    upload_at_home: "请在家中上传。",
    misdirected: words("这个地址没有照片", "请检查浏览器中的地址，或询问给您发送链接的人。"),
    unreachable: words("您的照片是安全的", "照片服务器暂时没有响应，您无需进行任何操作。"),
    busy: words("请稍候", "服务器正在启动，或者比较繁忙。您的照片是安全的。"),
    sign_in_unreachable: words("暂时无法登录", "验证账号的服务没有响应。您的照片是安全的。"),
    stopped: words("上传已中断", "没有继续收到数据。请重试，最好换用更稳定的网络。"),
    not_understood: words("无法识别此请求", "请返回后重试。"),
    tries_again: "本页面会自动重试。",
    try_now: "立即重试",
    number: "如需帮助，请提供此编号：",
};

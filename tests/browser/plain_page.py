"""A page of nothing but Streamlit: what axe finds here is Streamlit's own."""

import streamlit as st

st.set_page_config(page_title="Plain", layout="wide")
st.title("A page", anchor=False)
st.markdown("Some words.")
st.caption("Some small words.", help="What they mean.")
st.subheader("A part of it", anchor=False)
st.selectbox("One", ["first", "second"])
st.multiselect("Several", ["first", "second"], default=["first"])
st.segmented_control("One of few", ["first", "second"], default="first", required=True)
st.slider("A number", 0, 1000, 250, help="What it means.")
st.checkbox("Yes or no")
st.button("Run", type="primary", icon=":material/bolt:")
st.metric("A metric", "12\u00a0%", "as before", delta_color="off", delta_arrow="off")
st.tabs(["first", "second"])
st.expander("More")
for box in (st.info, st.success, st.warning, st.error):
    box("A sentence.")
st.markdown("| A | B |\n|---|---|\n| one | two |")
st.sidebar.caption("Some small words at the side.")
